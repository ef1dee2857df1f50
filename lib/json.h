/* json.h - JSON text in both directions, and JSONL files with line numbers
 *
 * Reading: cJSON trees behind a strict front (UTF-8 checked, duplicate keys and depth refused).
 * Writing: an append-only writer whose output is the caller's; strings are escaped, NaN is refused.
 * The tree of a line lives until the next jsonl_next. */
#ifndef JSON_H
#define JSON_H
#include "err.h"
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Parse n bytes. `where` ("file:12") begins the error message. Caller frees with cJSON_Delete. */
cJSON *json_parse(const char *s, size_t n, const char *where, struct err *e);
/* Only the members named (NULL ends the list) of the object that n bytes are: an object of these. The others are
 * passed over without being looked at, so they may be what Python's json writes and JSON has not
 * (Infinity) or what would not survive here (integers beyond 2^53, NUL in texts). */
cJSON *json_pick(const char *s, size_t n, const char *const *keys, const char *where,
                 struct err *e);
/* A whole file. */
cJSON *json_load(const char *path, struct err *e);

/* Members of an object. The get calls return the default if the key is absent or null, and fail with
 * ERR_DATA if it has another type. */
const char *json_get_str(const cJSON *o, const char *key, const char *dflt, struct err *e);
double json_get_num(const cJSON *o, const char *key, double dflt, struct err *e);
long json_get_int(const cJSON *o, const char *key, long dflt, struct err *e);
int json_get_bool(const cJSON *o, const char *key, int dflt, struct err *e);

struct json_out {
    char *buf;
    size_t len, cap;
    int comma; /* a comma is due before the next value */
    int failed;
};
void json_begin(struct json_out *j, char bracket); /* '{' or '[' */
void json_end(struct json_out *j, char bracket);   /* '}' or ']' */
void json_key(struct json_out *j, const char *key);
void json_str(struct json_out *j, const char *s);
void json_strn(struct json_out *j, const char *s, size_t n); /* invalid UTF-8 becomes U+FFFD */
void json_num(struct json_out *j,
              double v); /* shortest text that reads back equal; null if not finite */
void json_f32(struct json_out *j, float v); /* %.9g */
void json_int(struct json_out *j, long long v);
void json_bool(struct json_out *j, int v);
void json_raw(struct json_out *j, const char *text); /* already JSON */
void json_tree(struct json_out *j, const cJSON *v);
void json_kv_str(struct json_out *j, const char *k, const char *v);
void json_kv_num(struct json_out *j, const char *k, double v);
void json_kv_int(struct json_out *j, const char *k, long long v);
void json_kv_bool(struct json_out *j, const char *k, int v);
void json_reset(struct json_out *j);              /* empty, memory kept */
char *json_take(struct json_out *j, size_t *len); /* the text (malloc), or NULL if memory ran out */
/* Write the text and a newline to f, then reset. 0 or ERR_IO / ERR_NOMEM. */
int json_line(struct json_out *j, FILE *f, struct err *e);

/* JSONL: one object a line, LF; a last line without \n is truncation (65). path "-" is stdin; .gz is
 * read through zlib. Blank lines are refused. */
struct jsonl {
    const char *path;
    void *in;   /* gzFile */
    char *line; /* the current line without \n */
    size_t len, cap;
    long lineno;
    int ended; /* the stream is at its end, or broken: no more lines come */
    cJSON *v;
    size_t in_pos, in_len;
    char in_buf[65536];
};
int jsonl_open(struct jsonl *r, const char *path, struct err *e);
/* 1 = a record in r->v, 0 = end, negative = error naming path:line. */
int jsonl_next(struct jsonl *r, struct err *e);
/* The same without parsing: the line is in r->line, r->len. */
int jsonl_next_line(struct jsonl *r, struct err *e);
void jsonl_close(struct jsonl *r);
/* Check "schema" of the current record: NULL prefix list end; "sample/1" etc. A record without schema
 * is accepted if `bare` is set. ERR_DATA names path:line, expected and found. */
int jsonl_schema(const struct jsonl *r, const char *want, int bare, struct err *e);

int utf8_valid(const char *s, size_t n); /* 1 if n bytes are well-formed UTF-8 without surrogates */
/* Bytes of heap that a tree takes with glibc's malloc, its strings and malloc's own words included. */
size_t json_memory(const cJSON *v);
#endif
