/* caught - a C++ exception of the candidate's as an answer */
#include "rpc.hpp"
#include <cxxabi.h>
#include <exception>
#include <new>
#include <stdlib.h>
#include <string.h>
#include <system_error>
#include <typeinfo>

extern "C" void apr_caught(apr_out *o)
{
    const std::type_info *t = abi::__cxa_current_exception_type();
    char *name = t ? abi::__cxa_demangle(t->name(), nullptr, nullptr, nullptr) : nullptr;
    const char *type = name ? name : "exception";
    try {
        throw;
    } catch (const std::bad_alloc &e) {
        apr_throw(o, type, "MemoryError", "", 0);
    } catch (const std::system_error &e) {
        apr_throw(o, type, "Exception", e.what(), e.code().value());
    } catch (const std::exception &e) {
        apr_throw(o, type, "Exception", e.what(), 0);
    } catch (...) {
        apr_throw(o, type, "Exception", "", 0);
    }
    free(name);
}
