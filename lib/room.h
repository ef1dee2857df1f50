/* room.h - how much memory this process can still have */
#ifndef ROOM_H
#define ROOM_H
#include <stddef.h>

/* Bytes: what the system calls available (free, and page cache that can go), within the limit on
 * address space (ulimit -v) and those of the control groups that the process is in, both versions.
 * root: "", or where a test keeps its proc and sys. SIZE_MAX if nothing is known. */
size_t room_available(const char *root);
#endif
