// What both files of kernels share.
#ifndef LIUYUN_QUALITY_VECTORS_H
#define LIUYUN_QUALITY_VECTORS_H

#include <stdint.h>
#include <string.h>

// A function marked so exists twice on amd64, for AVX2 and for all else; the
// loader takes what the machine has. No flag asks for it elsewhere, so nothing
// else in the program needs AVX2.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

// Fused multiplication rounds once where Go rounds twice. GCC does not fuse
// under -std=c11; clang is told here.
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

// Rows of one loop never overlap, which the compiler cannot see of so many.
#if defined(__GNUC__) && !defined(__clang__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif

#define UNROLL _Pragma("GCC unroll 8")

#define INLINE static inline __attribute__((always_inline))

// Vectors as GCC and clang have them: what the machine lacks is made of what it
// has.
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int64_t i64x4 __attribute__((vector_size(32)));
typedef uint64_t u64x4 __attribute__((vector_size(32)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef double f64x4 __attribute__((vector_size(32)));

#define SELECT(mask, a, b) ((f64x4)(((i64x4)(a) & (mask)) | ((i64x4)(b) & ~(mask))))

// whole is the largest whole number that is not above v, for |v| up to 2^51.
INLINE f64x4 whole(f64x4 v) {
	const double big = 6755399441055744.0; // 1.5·2^52: what is added to it is rounded
	f64x4 t = (v + big) - big;
	return t - (f64x4)((i64x4)(f64x4){1, 1, 1, 1} & (t > v));
}

#endif
