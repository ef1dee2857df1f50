/* chat_model.h - the conversations of a loaded model: its template, or the format that its file names */
#ifndef CHAT_MODEL_H
#define CHAT_MODEL_H
#include "chat.h"
#include "model.h"

int model_has_chat(const struct model *m);
/* Compile; *c refers to m, and is freed with chat_free before it. */
int model_chat(struct chat **c, const struct model *m, struct err *e);
#endif
