//go:build cgo

#include "kernels.h"
#include "vectors.h"

#define PAD 8

static const uint32_t vif_filters[4][9] = {
	{7784, 7455, 6547, 5274, 3896, 2640, 1640, 935, 489},
	{14692, 12590, 7925, 3663, 1244},
	{26386, 16004, 3571},
	{43728, 10904},
};

INLINE int mirror(int i, int n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }

// Coefficients that the compiler knows become chains of shifts, which are slower
// than multiplying.
#define UNKNOWN(p) __asm__("" : "+r"(p))

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

INLINE void halve(const uint16_t *src, uint16_t *dst, int w, int h, const uint32_t *f, const int reach, int shift, uint16_t *restrict sums) {
	const uint32_t round = 1u << (shift - 1);
	uint16_t *restrict middle = sums + PAD;
	UNKNOWN(f);
	for (int y = 0; y + 1 < h; y += 2) {
		const uint16_t *up[5], *down[5];
		for (int k = 0; k <= reach; k++) {
			up[k] = src + (int64_t)mirror(y - k, h) * w;
			down[k] = src + (int64_t)mirror(y + k, h) * w;
		}
		INDEPENDENT
		for (int x = 0; x < w; x++) {
			uint32_t s = f[0] * up[0][x] + round;
			UNROLL
			for (int k = 1; k <= reach; k++)
				s += f[k] * (uint32_t)(up[k][x] + down[k][x]);
			middle[x] = (uint16_t)(s >> shift);
		}
		pad16(sums, w, reach);
		uint16_t *restrict out = dst + (int64_t)(y / 2) * (w / 2);
		INDEPENDENT
		for (int x = 0; x < w / 2; x++) {
			const uint16_t *at = middle + 2 * x;
			uint32_t s = 32768 + f[0] * at[0];
			UNROLL
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
	uint16_t *mean[2], *high[3], *low[3]; // rows of vertical sums, padded
	uint32_t *s1, *s2, *square[3];        // the same, filtered along the row
	uint32_t *keys[2 + 4];                // what to look up, see vif_count
} vif_rows;

#define STORE_HALVES(i, sum) do { uint32_t s_ = (sum); high##i[x] = (uint16_t)(s_ >> 16); low##i[x] = (uint16_t)s_; } while (0)

// exact says that squares lose no bits, as with samples of 8 bits.
INLINE void vif_vertical(const uint16_t *const *a, const uint16_t *const *b, int w, const uint32_t *f, const int reach,
                         int shift, int square_shift, const int exact, const vif_rows *r) {
	const uint32_t round = 1u << (shift - 1), mask = (1u << square_shift) - 1;
	const uint32_t square_round = exact ? 0 : 1u << (square_shift - 1);
	uint16_t *restrict mean1 = r->mean[0] + PAD, *restrict mean2 = r->mean[1] + PAD;
	uint16_t *restrict high0 = r->high[0] + PAD, *restrict high1 = r->high[1] + PAD, *restrict high2 = r->high[2] + PAD;
	uint16_t *restrict low0 = r->low[0] + PAD, *restrict low1 = r->low[1] + PAD, *restrict low2 = r->low[2] + PAD;
	UNKNOWN(f);
	INDEPENDENT
	for (int x = 0; x < w; x++) {
		uint32_t p = a[PAD][x], q = b[PAD][x];
		uint32_t s1 = f[0] * p + round, s2 = f[0] * q + round;
		uint32_t pp = p * p, qq = q * q, pq = p * q;
		uint32_t h0, h1, h2, l0 = square_round, l1 = square_round, l2 = square_round;
		if (exact) {
			h0 = f[0] * pp;
			h1 = f[0] * qq;
			h2 = f[0] * pq;
		} else {
			h0 = f[0] * (pp >> square_shift);
			h1 = f[0] * (qq >> square_shift);
			h2 = f[0] * (pq >> square_shift);
			l0 += f[0] * (pp & mask);
			l1 += f[0] * (qq & mask);
			l2 += f[0] * (pq & mask);
		}
		UNROLL
		for (int k = 1; k <= reach; k++) {
			uint32_t p0 = a[PAD - k][x], q0 = b[PAD - k][x], p1 = a[PAD + k][x], q1 = b[PAD + k][x];
			s1 += f[k] * (p0 + p1);
			s2 += f[k] * (q0 + q1);
			if (exact) {
				h0 += f[k] * (p0 * p0 + p1 * p1);
				h1 += f[k] * (q0 * q0 + q1 * q1);
				h2 += f[k] * (p0 * q0 + p1 * q1);
			} else {
				h0 += f[k] * ((p0 * p0 >> square_shift) + (p1 * p1 >> square_shift));
				h1 += f[k] * ((q0 * q0 >> square_shift) + (q1 * q1 >> square_shift));
				h2 += f[k] * ((p0 * q0 >> square_shift) + (p1 * q1 >> square_shift));
				l0 += f[k] * ((p0 * p0 & mask) + (p1 * p1 & mask));
				l1 += f[k] * ((q0 * q0 & mask) + (q1 * q1 & mask));
				l2 += f[k] * ((p0 * q0 & mask) + (p1 * q1 & mask));
			}
		}
		mean1[x] = (uint16_t)(s1 >> shift);
		mean2[x] = (uint16_t)(s2 >> shift);
		STORE_HALVES(0, exact ? h0 : h0 + (l0 >> square_shift));
		STORE_HALVES(1, exact ? h1 : h1 + (l1 >> square_shift));
		STORE_HALVES(2, exact ? h2 : h2 + (l2 >> square_shift));
	}
}

INLINE void filter_row(const uint16_t *padded, int w, const uint32_t *f, const int reach, uint32_t *restrict out) {
	const uint16_t *restrict row = padded + PAD;
	UNKNOWN(f);
	INDEPENDENT
	for (int x = 0; x < w; x++) {
		uint32_t s = f[0] * row[x];
		UNROLL
		for (int k = 1; k <= reach; k++)
			s += f[k] * (uint32_t)(row[x - k] + row[x + k]);
		out[x] = s;
	}
}

INLINE void filter_halves(const uint16_t *high, const uint16_t *low, int w, const uint32_t *f, const int reach, uint32_t *restrict out) {
	const uint16_t *restrict hi = high + PAD, *restrict lo = low + PAD;
	UNKNOWN(f);
	INDEPENDENT
	for (int x = 0; x < w; x++) {
		uint32_t h = f[0] * hi[x], l = f[0] * lo[x] + 32768;
		UNROLL
		for (int k = 1; k <= reach; k++) {
			h += f[k] * (uint32_t)(hi[x - k] + hi[x + k]);
			l += f[k] * (uint32_t)(lo[x - k] + lo[x + k]);
		}
		out[x] = h + (l >> 16);
	}
}

INLINE uint32_t high_product(uint32_t a, uint32_t b) {
	return (uint32_t)(((uint64_t)a * b + (1u << 31)) >> 32);
}

#define VIF_NOISE (2 << 16)

// A key is a double's exponent and the first 15 bits behind its leading one.

INLINE void store_keys(uint32_t *to, f64x4 v) {
	u32x4 keys = __builtin_convertvector((u64x4)v >> (52 - 15), u32x4);
	memcpy(to, &keys, 16);
}

INLINE int64_t sum_logs(const uint32_t *keys, int w, const uint16_t *restrict logs) {
	uint32_t exponents = 0, rest = 0; // of at most 16384 places
	for (int x = 0; x < w; x++)
		exponents += (keys[x] >> 15) - 1023;
	for (int x = 0; x < w; x++)
		rest += logs[keys[x] & 32767];
	return (int64_t)exponents * 2048 + rest;
}

// vif_count turns a row of sums into information. Values go by fours into keys
// for the table of logarithms; a place that has nothing to say gets keys that
// cancel out.
INLINE void vif_count(int w, const uint16_t *logs, const double *limits, int limit_count, const vif_rows *r, int64_t *sums) {
	uint32_t *restrict s1 = r->s1, *restrict s2 = r->s2;
	uint32_t *restrict xx = r->square[0], *restrict yy = r->square[1], *restrict xy = r->square[2];
	int64_t flat = 0, flat_dis = 0;
	INDEPENDENT
	for (int x = 0; x < w; x++) {
		int32_t v1 = (int32_t)(xx[x] - high_product(s1[x], s1[x]));
		int32_t v2 = (int32_t)(yy[x] - high_product(s2[x], s2[x]));
		xx[x] = (uint32_t)v1;
		yy[x] = (uint32_t)(v2 > 0 ? v2 : 0);
		xy[x] = xy[x] - high_product(s1[x], s2[x]);
	}
	INDEPENDENT
	for (int x = 0; x < w; x++) {
		int is_flat = (int32_t)xx[x] < VIF_NOISE;
		flat += is_flat;
		flat_dis += is_flat ? yy[x] : 0;
	}
	for (int x = 0; x < w; x += 4) {
		i32x4 i1, i2, i12;
		memcpy(&i1, xx + x, 16);
		memcpy(&i2, yy + x, 16);
		memcpy(&i12, xy + x, 16);
		f64x4 v1 = __builtin_convertvector(i1, f64x4), v2 = __builtin_convertvector(i2, f64x4), v12 = __builtin_convertvector(i12, f64x4);
		const f64x4 none = {VIF_NOISE, VIF_NOISE, VIF_NOISE, VIF_NOISE}, zero = {};
		i64x4 busy = v1 >= none, counts = busy & (v12 > zero) & (v2 > zero);
		store_keys(r->keys[0] + x, SELECT(busy, v1 + none, none));
		f64x4 g = v12 / (v1 + 65536 * 1e-10);
		f64x4 left = v2 - g * v12;
		f64x4 noise = whole(SELECT(left > zero, left, zero)) + none;
		noise = SELECT(counts, noise, none);
		store_keys(r->keys[1] + x, noise);
		for (int i = 0; i < limit_count; i++) {
			f64x4 limit = {limits[i], limits[i], limits[i], limits[i]};
			f64x4 cut = SELECT(g < limit, g, limit);
			f64x4 value = whole(SELECT(counts, cut * cut * v1, zero)) + noise;
			store_keys(r->keys[2 + i] + x, value);
		}
	}
	int64_t below = sum_logs(r->keys[1], w, logs);
	sums[0] += sum_logs(r->keys[0], w, logs) - (int64_t)w * 17 * 2048;
	sums[1] += flat;
	sums[2] += flat_dis;
	for (int i = 0; i < limit_count; i++)
		sums[3 + i] += sum_logs(r->keys[2 + i], w, logs) - below;
}

INLINE void vif(const uint16_t *ref, const uint16_t *dis, int w, int h, const uint32_t *f, const int reach, int shift,
                int square_shift, const uint16_t *logs, const double *limits, int limit_count, const vif_rows *r, int64_t *sums) {
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
		for (int i = 0; i < 2; i++) {
			pad16(r->mean[i], w, reach);
			filter_row(r->mean[i], w, f, reach, i == 0 ? r->s1 : r->s2);
		}
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
	const int n = w + 2 * PAD; // room for whole vectors behind each row
	vif_rows r;
	r.s1 = scratch;
	r.s2 = scratch + n;
	for (int i = 0; i < 3; i++)
		r.square[i] = scratch + (2 + i) * n;
	for (int i = 0; i < 6; i++)
		r.keys[i] = scratch + (5 + i) * n;
	uint16_t *narrow = (uint16_t *)(scratch + 11 * n);
	for (int i = 0; i < 2; i++)
		r.mean[i] = narrow + i * n;
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
		INDEPENDENT
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
