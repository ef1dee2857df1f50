/* assert.h - stands before the system's in a test: counts assertions, and the first false one ends it
 *
 * Like the system's it has no include guard, and NDEBUG changes nothing.  apr_first is defined in
 * front of the test, so that assertions count from 0. */
#undef assert
#define assert(...)                                                                                \
    (apr_at(__COUNTER__ - apr_first), (__VA_ARGS__) ? apr_right() : apr_false(#__VA_ARGS__))
