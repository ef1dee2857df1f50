/* rpc.hpp - C++ values as plain data, and a call across the socket
 *
 * wire<T> writes and reads a T: bool, integers, float, double, enums, std::string, and what is made
 * of these: pairs, tuples, arrays, optionals, sequences, sets, maps.  Containers are known by what
 * they can do, not by name, so no header of theirs is needed here.  Read, a number must have the
 * same value in the type that is asked for. */
#ifndef APR_RPC_HPP
#define APR_RPC_HPP
#include "wire.h"
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

extern "C" void apr_caught(apr_out *o); /* in a handler: answer with the exception */

namespace apr
{
template <class T, class = void> struct wire {
    static_assert(sizeof(T) == 0, "a value of this type cannot cross");
};

template <> struct wire<bool> {
    static void put(apr_out *o, bool v)
    {
        apr_put_bool(o, v);
    }
    static bool get(apr_in *in)
    {
        return apr_get_bool(in) != 0;
    }
};

template <class T> struct wire<T, std::enable_if_t<std::is_integral<T>::value>> {
    static void put(apr_out *o, T v)
    {
        if (std::is_signed<T>::value)
            apr_put_int(o, static_cast<long long>(v));
        else
            apr_put_uint(o, static_cast<unsigned long long>(v));
    }
    static T get(apr_in *in)
    {
        using limits = std::numeric_limits<T>;
        if (std::is_signed<T>::value)
            return static_cast<T>(apr_get_int(in, static_cast<long long>(limits::min()),
                                              static_cast<long long>(limits::max())));
        return static_cast<T>(apr_get_uint(in, static_cast<unsigned long long>(limits::max())));
    }
};

template <class T> struct wire<T, std::enable_if_t<std::is_enum<T>::value>> {
    using number = std::underlying_type_t<T>;
    static void put(apr_out *o, T v)
    {
        wire<number>::put(o, static_cast<number>(v));
    }
    static T get(apr_in *in)
    {
        return static_cast<T>(wire<number>::get(in));
    }
};

template <class T>
struct wire<T, std::enable_if_t<std::is_same<T, float>::value || std::is_same<T, double>::value>> {
    static void put(apr_out *o, T v)
    {
        apr_put_real(o, v);
    }
    static T get(apr_in *in)
    {
        return static_cast<T>(apr_get_real(in));
    }
};

template <> struct wire<std::string> {
    static void put(apr_out *o, const std::string &v)
    {
        apr_put_blob(o, 'b', v.data(), v.size());
    }
    static std::string get(apr_in *in)
    {
        unsigned long n;
        const void *p = apr_get_blob(in, 'b', &n);
        return n ? std::string(static_cast<const char *>(p), n) : std::string();
    }
};

/* ---- what a type can do ---- */

template <class T, class = void> struct is_tuple : std::false_type {
};
template <class T>
struct is_tuple<T, std::void_t<decltype(std::tuple_size<T>::value)>> : std::true_type {
};
template <class T, class = void> struct has_elements : std::false_type {
};
template <class T>
struct has_elements<T,
                    std::void_t<typename T::value_type, decltype(std::declval<const T &>().begin()),
                                decltype(std::declval<const T &>().end())>> : std::true_type {
};
template <class T, class = void> struct has_key : std::false_type {
};
template <class T> struct has_key<T, std::void_t<typename T::key_type>> : std::true_type {
};
template <class T, class = void> struct has_mapped : std::false_type {
};
template <class T> struct has_mapped<T, std::void_t<typename T::mapped_type>> : std::true_type {
};
template <class T, class = void> struct is_optional : std::false_type {
};
template <class T>
struct is_optional<
    T, std::void_t<typename T::value_type, decltype(std::declval<const T &>().has_value())>>
    : std::true_type {
};
template <class T> constexpr bool is_array = is_tuple<T>::value &&has_elements<T>::value;
template <class T>
constexpr bool is_map = has_elements<T>::value &&has_key<T>::value &&has_mapped<T>::value;
template <class T>
constexpr bool is_set = has_elements<T>::value &&has_key<T>::value && !has_mapped<T>::value;
template <class T>
constexpr bool is_sequence = has_elements<T>::value && !has_key<T>::value && !is_tuple<T>::value &&
                             !std::is_same<T, std::string>::value;

template <class T> unsigned long count(const T &v) /* std::forward_list has no size() */
{
    unsigned long n = 0;
    for (auto i = v.begin(); i != v.end(); ++i)
        n++;
    return n;
}

template <class T> struct wire<T, std::enable_if_t<is_tuple<T>::value && !is_array<T>>> {
    template <std::size_t... I> static void each(apr_out *o, const T &v, std::index_sequence<I...>)
    {
        (wire<std::decay_t<std::tuple_element_t<I, T>>>::put(o, std::get<I>(v)), ...);
    }
    template <std::size_t... I> static T make(apr_in *in, std::index_sequence<I...>)
    {
        return T{wire<std::decay_t<std::tuple_element_t<I, T>>>::get(in)...}; /* left to right */
    }
    static constexpr auto all = std::make_index_sequence<std::tuple_size<T>::value>();
    static void put(apr_out *o, const T &v)
    {
        apr_put_count(o, 't', std::tuple_size<T>::value);
        each(o, v, all);
    }
    static T get(apr_in *in)
    {
        apr_get_exactly(in, 't', std::tuple_size<T>::value);
        return make(in, all);
    }
};

template <class T> struct wire<T, std::enable_if_t<is_array<T>>> {
    using item = wire<typename T::value_type>;
    static void put(apr_out *o, const T &v)
    {
        apr_put_count(o, 'l', v.size());
        for (const auto &x : v)
            item::put(o, x);
    }
    static T get(apr_in *in)
    {
        T v{};
        apr_get_exactly(in, 'l', v.size());
        for (auto &x : v)
            x = item::get(in);
        return v;
    }
};

template <class T> struct wire<T, std::enable_if_t<is_sequence<T>>> {
    using item = wire<typename T::value_type>;
    static void put(apr_out *o, const T &v)
    {
        apr_put_count(o, 'l', count(v));
        for (auto &&x : v) /* vector<bool> has no bool to refer to */
            item::put(o, x);
    }
    static T get(apr_in *in)
    {
        T v;
        unsigned long n = apr_get_count(in, 'l');
        for (unsigned long i = 0; i < n && !in->bad; i++)
            v.push_back(item::get(in));
        return v;
    }
};

template <class T> struct wire<T, std::enable_if_t<is_set<T>>> {
    using item = wire<typename T::key_type>;
    static void put(apr_out *o, const T &v)
    {
        apr_put_count(o, 'S', v.size());
        for (const auto &x : v)
            item::put(o, x);
    }
    static T get(apr_in *in)
    {
        T v;
        unsigned long n = apr_get_count(in, 'S');
        for (unsigned long i = 0; i < n && !in->bad; i++)
            v.insert(item::get(in));
        return v;
    }
};

template <class T> struct wire<T, std::enable_if_t<is_map<T>>> {
    using key = wire<typename T::key_type>;
    using mapped = wire<typename T::mapped_type>;
    static void put(apr_out *o, const T &v)
    {
        apr_put_count(o, 'd', v.size());
        for (const auto &x : v) {
            key::put(o, x.first);
            mapped::put(o, x.second);
        }
    }
    static T get(apr_in *in)
    {
        T v;
        unsigned long n = apr_get_count(in, 'd');
        for (unsigned long i = 0; i < n && !in->bad; i++) {
            auto k = key::get(in);
            v.emplace(std::move(k), mapped::get(in));
        }
        return v;
    }
};

template <class T> struct wire<T, std::enable_if_t<is_optional<T>::value>> {
    using item = wire<typename T::value_type>;
    static void put(apr_out *o, const T &v)
    {
        if (v.has_value())
            item::put(o, *v);
        else
            apr_put_null(o);
    }
    static T get(apr_in *in)
    {
        if (apr_peek(in) != 'N')
            return T(item::get(in));
        apr_get_null(in);
        return T();
    }
};

/* ---- a call; F is the declared type, as in bool(vector<float> numbers, float threshold) ---- */

/* Arguments that the function may change come back behind the value. */
template <class A>
constexpr bool comes_back =
    std::is_lvalue_reference<A>::value && !std::is_const<std::remove_reference_t<A>>::value;

template <class F> struct function;
template <class R, class... A> struct function<R(A...)> {
    static constexpr unsigned long n_back = (0 + ... + (comes_back<A> ? 1 : 0));

    /* the checker's side */
    template <class P> static void fetch(apr_in *in, std::remove_reference_t<P> &a)
    {
        if constexpr (comes_back<P>)
            a = wire<std::decay_t<P>>::get(in);
    }
    static R ask(const char *name, std::remove_reference_t<A> &...a)
    {
        apr_out *o = apr_question(name, sizeof...(A));
        (wire<std::decay_t<A>>::put(o, a), ...);
        apr_in *in = apr_answer(n_back);
        if constexpr (std::is_void<R>::value) {
            apr_get_null(in);
            (fetch<A>(in, a), ...);
            apr_accept(in);
        } else {
            auto r = wire<std::decay_t<R>>::get(in);
            (fetch<A>(in, a), ...);
            apr_accept(in);
            return r;
        }
    }

    /* the candidate's side */
    template <class Call, std::size_t... I>
    static void run(const Call &call, apr_in *in, apr_out *o, std::index_sequence<I...>)
    {
        std::tuple<std::decay_t<A>...> a{wire<std::decay_t<A>>::get(in)...};
        if (in->bad)
            return;
        if (n_back) {
            apr_start(o, 'A');
            apr_put_count(o, 't', 1 + n_back);
        }
        if constexpr (std::is_void<R>::value) {
            call(static_cast<A &&>(std::get<I>(a))...);
            apr_put_null(o);
        } else {
            using got = decltype(call(static_cast<A &&>(std::get<I>(a))...));
            static_assert(std::is_convertible<got, R>::value, "the result has another type");
            wire<std::decay_t<got>>::put(o, call(static_cast<A &&>(std::get<I>(a))...));
        }
        (back<A>(o, std::get<I>(a)), ...);
    }
    template <class P> static void back(apr_out *o, const std::decay_t<P> &a)
    {
        if constexpr (comes_back<P>)
            wire<std::decay_t<P>>::put(o, a);
    }
    template <class Call> static int serve(const char *name, const Call &call)
    {
        static const Call *that;
        that = &call;
        return apr_serve(name, sizeof...(A), [](apr_in *in, apr_out *o) {
            try {
                run(*that, in, o, std::index_sequence_for<A...>());
            } catch (...) {
                apr_caught(o);
            }
        });
    }
};
} // namespace apr
#endif
