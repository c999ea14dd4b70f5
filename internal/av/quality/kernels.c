//go:build cgo

#include "kernels.h"
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

#define INLINE static inline __attribute__((always_inline))

typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));

#define PAD 8

static const uint32_t vif_filters[4][9] = {
	{7784, 7455, 6547, 5274, 3896, 2640, 1640, 935, 489},
	{14692, 12590, 7925, 3663, 1244},
	{26386, 16004, 3571},
	{43728, 10904},
};

INLINE int mirror(int i, int n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }
INLINE int min_int(int a, int b) { return a < b ? a : b; }
INLINE int max_int(int a, int b) { return a > b ? a : b; }

#define LOAD16(p) ({ u16x8 narrow_; memcpy(&narrow_, (p), 16); __builtin_convertvector(narrow_, u32x8); })
#define STORE16(p, v) do { u16x8 narrow_ = __builtin_convertvector((v), u16x8); memcpy((p), &narrow_, 16); } while (0)
#define STORE32(p, v) do { u32x8 wide_ = (v); memcpy((p), &wide_, 32); } while (0)

CLONES void quality_widen(const uint8_t *restrict from, uint16_t *restrict into, int n) {
	for (int i = 0; i < n; i++)
		into[i] = from[i];
}

INLINE void pad16(uint16_t *row, int w, int reach) {
	for (int k = 1; k <= reach; k++) {
		row[PAD - k] = row[PAD + k];
		row[PAD + w - 1 + k] = row[PAD + w - 1 - k];
	}
}

INLINE void halve(const uint16_t *src, uint16_t *dst, int w, int h, const uint32_t *f, const int reach, int shift, uint16_t *sums) {
	const uint32_t round = 1u << (shift - 1);
	for (int y = 0; y + 1 < h; y += 2) {
		const uint16_t *up[5], *down[5];
		for (int k = 0; k <= reach; k++) {
			up[k] = src + (int64_t)mirror(y - k, h) * w;
			down[k] = src + (int64_t)mirror(y + k, h) * w;
		}
		for (int x = 0; x < w; x += 8) {
			u32x8 s = f[0] * LOAD16(up[0] + x) + round;
#pragma GCC unroll 8
			for (int k = 1; k <= reach; k++)
				s += f[k] * (LOAD16(up[k] + x) + LOAD16(down[k] + x));
			STORE16(sums + PAD + x, s >> shift);
		}
		pad16(sums, w, reach);
		uint16_t *out = dst + (int64_t)(y / 2) * (w / 2);
		for (int x = 0; x < w / 2; x++) {
			const uint16_t *at = sums + PAD + 2 * x;
			uint32_t s = 32768 + f[0] * at[0];
#pragma GCC unroll 8
			for (int k = 1; k <= reach; k++)
				s += f[k] * (uint32_t)(at[-k] + at[k]);
			out[x] = (uint16_t)(s >> 16);
		}
	}
}

CLONES void quality_halve(const uint16_t *src, uint16_t *dst, int w, int h, int scale, int shift, uint32_t *scratch) {
	uint16_t *sums = (uint16_t *)scratch;
	switch (scale) {
	case 0: halve(src, dst, w, h, vif_filters[1], 4, shift, sums); break;
	case 1: halve(src, dst, w, h, vif_filters[2], 2, shift, sums); break;
	default: halve(src, dst, w, h, vif_filters[3], 1, shift, sums); break;
	}
}

// Squares and products are carried as two halves of 16 bits from here on: a sum
// of 65536 times a half stays inside 32 bits, and that of the high halves plus
// the carry of the low ones is what 64 bits would give.
typedef struct {
	uint16_t *m1, *m2, *high[3], *low[3]; // rows of sums, padded
	uint32_t *s1, *s2, *square[3];        // the same, filtered along the row
	int32_t *v1, *v2, *v12;               // variances and covariance
	double *gain, *noise;
} vif_rows;

INLINE void vif_vertical(const uint16_t *const *a, const uint16_t *const *b, int w, const uint32_t *f, const int reach,
                         int shift, int square_shift, const int exact, vif_rows *r) {
	const uint32_t round = 1u << (shift - 1);
	const uint32_t mask = (1u << square_shift) - 1, square_round = exact ? 0 : 1u << (square_shift - 1);
	for (int x = 0; x < w; x += 8) {
		u32x8 p = LOAD16(a[PAD] + x), q = LOAD16(b[PAD] + x);
		u32x8 s1 = f[0] * p + round, s2 = f[0] * q + round;
		u32x8 h[3], l[3], v[3] = {p * p, q * q, p * q};
#pragma GCC unroll 3
		for (int i = 0; i < 3; i++) {
			h[i] = f[0] * (exact ? v[i] : v[i] >> square_shift);
			l[i] = exact ? (u32x8){} : f[0] * (v[i] & mask) + square_round;
		}
#pragma GCC unroll 8
		for (int k = 1; k <= reach; k++) {
			u32x8 p0 = LOAD16(a[PAD - k] + x), q0 = LOAD16(b[PAD - k] + x);
			u32x8 p1 = LOAD16(a[PAD + k] + x), q1 = LOAD16(b[PAD + k] + x);
			s1 += f[k] * (p0 + p1);
			s2 += f[k] * (q0 + q1);
			u32x8 v0[3] = {p0 * p0, q0 * q0, p0 * q0}, v1[3] = {p1 * p1, q1 * q1, p1 * q1};
#pragma GCC unroll 3
			for (int i = 0; i < 3; i++) {
				if (exact) {
					h[i] += f[k] * (v0[i] + v1[i]);
				} else {
					h[i] += f[k] * ((v0[i] >> square_shift) + (v1[i] >> square_shift));
					l[i] += f[k] * ((v0[i] & mask) + (v1[i] & mask));
				}
			}
		}
		STORE16(r->m1 + PAD + x, s1 >> shift);
		STORE16(r->m2 + PAD + x, s2 >> shift);
#pragma GCC unroll 3
		for (int i = 0; i < 3; i++) {
			u32x8 sum = exact ? h[i] : h[i] + (l[i] >> square_shift);
			STORE16(r->high[i] + PAD + x, sum >> 16);
			STORE16(r->low[i] + PAD + x, sum & 0xffff);
		}
	}
}

INLINE void filter_row(const uint16_t *row, int w, const uint32_t *f, const int reach, uint32_t *out) {
	for (int x = 0; x < w; x += 8) {
		u32x8 s = f[0] * LOAD16(row + PAD + x);
#pragma GCC unroll 8
		for (int k = 1; k <= reach; k++)
			s += f[k] * (LOAD16(row + PAD + x - k) + LOAD16(row + PAD + x + k));
		STORE32(out + x, s);
	}
}

INLINE void filter_halves(const uint16_t *high, const uint16_t *low, int w, const uint32_t *f, const int reach, uint32_t *out) {
	for (int x = 0; x < w; x += 8) {
		u32x8 h = f[0] * LOAD16(high + PAD + x), l = f[0] * LOAD16(low + PAD + x) + 32768;
#pragma GCC unroll 8
		for (int k = 1; k <= reach; k++) {
			h += f[k] * (LOAD16(high + PAD + x - k) + LOAD16(high + PAD + x + k));
			l += f[k] * (LOAD16(low + PAD + x - k) + LOAD16(low + PAD + x + k));
		}
		STORE32(out + x, h + (l >> 16));
	}
}

INLINE uint32_t high_product(uint32_t a, uint32_t b) {
	return (uint32_t)(((uint64_t)a * b + (1u << 31)) >> 32);
}

INLINE int64_t log2_bits(double v, const uint16_t *logs) {
	uint64_t bits;
	memcpy(&bits, &v, 8);
	bits >>= 52 - 15;
	return (int64_t)(2048 * ((int32_t)(bits >> 15) - 1023) + logs[bits & 32767]);
}

#define VIF_NOISE (2 << 16)

INLINE void vif_count(int w, const uint16_t *logs, const double *limits, int limit_count, vif_rows *r, int64_t *sums) {
	const uint32_t *restrict s1 = r->s1, *restrict s2 = r->s2;
	const uint32_t *restrict xx = r->square[0], *restrict yy = r->square[1], *restrict xy = r->square[2];
	int32_t *restrict v1 = r->v1, *restrict v2 = r->v2, *restrict v12 = r->v12;
	double *restrict gain = r->gain, *restrict noise = r->noise;
	for (int x = 0; x < w; x++) {
		v1[x] = (int32_t)(xx[x] - high_product(s1[x], s1[x]));
		v2[x] = max_int((int32_t)(yy[x] - high_product(s2[x], s2[x])), 0);
		v12[x] = (int32_t)(xy[x] - high_product(s1[x], s2[x]));
	}
	for (int x = 0; x < w; x++) {
		double g = (double)v12[x] / ((double)v1[x] + 65536 * 1e-10);
		// Only where the rest is not used can this leave the range of int32_t.
		double left = (double)v2[x] - g * (double)v12[x];
		left = left > 0 ? left : 0;
		left = left < 2147483647.0 ? left : 0;
		gain[x] = g;
		noise[x] = (double)((int32_t)left) + VIF_NOISE;
	}
	int64_t den = 0, flat = 0, flat_dis = 0, num[4] = {0};
	for (int x = 0; x < w; x++) {
		if (v1[x] < VIF_NOISE) {
			flat++;
			flat_dis += v2[x];
			continue;
		}
		den += log2_bits((double)v1[x] + VIF_NOISE, logs) - 17 * 2048;
		if (v12[x] <= 0 || v2[x] == 0)
			continue;
		int64_t below = log2_bits(noise[x], logs), value = 0;
		double last = -1;
		for (int i = 0; i < limit_count; i++) {
			double g = gain[x] < limits[i] ? gain[x] : limits[i];
			if (g != last)
				value = log2_bits((double)(int64_t)(g * g * (double)v1[x]) + noise[x], logs) - below;
			last = g;
			num[i] += value;
		}
	}
	sums[0] += den;
	sums[1] += flat;
	sums[2] += flat_dis;
	for (int i = 0; i < limit_count; i++)
		sums[3 + i] += num[i];
}

INLINE void vif(const uint16_t *ref, const uint16_t *dis, int w, int h, const uint32_t *f, const int reach, int shift,
                int square_shift, const uint16_t *logs, const double *limits, int limit_count, vif_rows *r, int64_t *sums) {
	for (int y = 0; y < h; y++) {
		const uint16_t *a[2 * PAD + 1], *b[2 * PAD + 1];
		for (int k = -reach; k <= reach; k++) {
			int64_t at = (int64_t)mirror(y + k, h) * w;
			a[PAD + k] = ref + at;
			b[PAD + k] = dis + at;
		}
		if (square_shift == 0)
			vif_vertical(a, b, w, f, reach, shift, 0, 1, r);
		else
			vif_vertical(a, b, w, f, reach, shift, square_shift, 0, r);
		pad16(r->m1, w, reach);
		pad16(r->m2, w, reach);
		filter_row(r->m1, w, f, reach, r->s1);
		filter_row(r->m2, w, f, reach, r->s2);
		for (int i = 0; i < 3; i++) {
			pad16(r->high[i], w, reach);
			pad16(r->low[i], w, reach);
			filter_halves(r->high[i], r->low[i], w, f, reach, r->square[i]);
		}
		vif_count(w, logs, limits, limit_count, r, sums);
	}
}

CLONES void quality_vif(const uint16_t *ref, const uint16_t *dis, int w, int h, int scale, int shift, int square_shift,
                        const uint16_t *logs, const double *limits, int limit_count, uint32_t *scratch, int64_t *sums) {
	const int n = w + 2 * PAD; // of 32 bits, so each row has room for whole vectors
	vif_rows r;
	uint32_t *next = scratch;
	r.gain = (double *)next;
	r.noise = r.gain + n;
	next += 4 * n;
	r.s1 = next;
	r.s2 = next + n;
	for (int i = 0; i < 3; i++)
		r.square[i] = next + (2 + i) * n;
	r.v1 = (int32_t *)next + 5 * n;
	r.v2 = r.v1 + n;
	r.v12 = r.v2 + n;
	uint16_t *narrow = (uint16_t *)(next + 8 * n);
	r.m1 = narrow;
	r.m2 = narrow + n;
	for (int i = 0; i < 3; i++) {
		r.high[i] = narrow + (2 + i) * n;
		r.low[i] = narrow + (5 + i) * n;
	}
	switch (scale) {
	case 0: vif(ref, dis, w, h, vif_filters[0], 8, shift, square_shift, logs, limits, limit_count, &r, sums); break;
	case 1: vif(ref, dis, w, h, vif_filters[1], 4, shift, square_shift, logs, limits, limit_count, &r, sums); break;
	case 2: vif(ref, dis, w, h, vif_filters[2], 2, shift, square_shift, logs, limits, limit_count, &r, sums); break;
	default: vif(ref, dis, w, h, vif_filters[3], 1, shift, square_shift, logs, limits, limit_count, &r, sums); break;
	}
}

CLONES uint64_t quality_motion(const uint16_t *prev, const uint16_t *ref, int w, int h, int depth, int32_t *row) {
	const int32_t c0 = 26386, c1 = 16004, c2 = 3571, round = 1 << (depth - 1);
	uint64_t total = 0;
	for (int y = 0; y < h; y++) {
		const uint16_t *p[5], *r[5];
		for (int k = 0; k < 5; k++) {
			int64_t at = (int64_t)mirror(y + k - 2, h) * w;
			p[k] = prev + at;
			r[k] = ref + at;
		}
		int32_t *restrict out = row;
		for (int x = 0; x < w; x++) {
			int32_t s = c0 * (p[2][x] - r[2][x]) + c1 * (p[1][x] - r[1][x] + p[3][x] - r[3][x]) +
			            c2 * (p[0][x] - r[0][x] + p[4][x] - r[4][x]);
			out[x] = (s + round) >> depth;
		}
		// A value has 17 bits with its sign, one too many for 32 bits of sum: its
		// lowest bit goes apart.
		uint32_t sum = 0;
		for (int x = 2; x < w - 2; x++) {
			int32_t near = row[x - 1], near2 = row[x + 1], far = row[x - 2], far2 = row[x + 2], v = row[x];
			int32_t high = c0 * (v >> 1) + c1 * ((near >> 1) + (near2 >> 1)) + c2 * ((far >> 1) + (far2 >> 1));
			int32_t low = c0 * (v & 1) + c1 * ((near & 1) + (near2 & 1)) + c2 * ((far & 1) + (far2 & 1));
			int32_t value = (high + ((low + 32768) >> 1)) >> 15;
			sum += (uint32_t)(value < 0 ? -value : value);
		}
		const int edge[4] = {0, 1, w - 2, w - 1};
		for (int i = 0; i < 4; i++) {
			int x = edge[i];
			int64_t s = (int64_t)c0 * row[x] + (int64_t)c1 * (row[mirror(x - 1, w)] + row[mirror(x + 1, w)]) +
			            (int64_t)c2 * (row[mirror(x - 2, w)] + row[mirror(x + 2, w)]);
			int64_t value = (s + 32768) >> 16;
			sum += (uint32_t)(value < 0 ? -value : value);
		}
		total += sum;
	}
	return total;
}
