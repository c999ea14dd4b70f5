//go:build cgo

#include "kernels.h"
#include "vectors.h"

#define LOW0 15826
#define LOW1 27411
#define LOW2 7345
#define LOW3 (-4240)
#define LOW_SUM 46342

INLINE int min_int(int a, int b) { return a < b ? a : b; }
INLINE int max_int(int a, int b) { return a > b ? a : b; }
INLINE int32_t abs_int(int32_t v) { return v < 0 ? -v : v; }

INLINE void taps(int i, int n, int *t) {
	t[0] = i == 0 ? 1 : 2 * i - 1;
	t[1] = 2 * i;
	t[2] = 2 * i + 1;
	t[3] = 2 * i + 2;
	for (int k = 0; k < 4; k++)
		if (t[k] >= n)
			t[k] = 2 * n - 1 - t[k];
}

INLINE int32_t low_of(int32_t a, int32_t b, int32_t c, int32_t d) { return LOW0 * a + LOW1 * b + LOW2 * c + LOW3 * d; }
INLINE int32_t high_of(int32_t a, int32_t b, int32_t c, int32_t d) { return LOW3 * a - LOW2 * b + LOW1 * c - LOW0 * d; }

INLINE void split(const int32_t *restrict s, int w, int32_t *restrict low, int32_t *restrict high) {
	const int half = (w + 1) / 2, inner = (w - 3) / 2 + 1; // places whose taps all lie inside
	for (int x = 1; x < inner; x++) {
		const int32_t *p = s + 2 * x;
		low[x] = (low_of(p[-1], p[0], p[1], p[2]) + 32768) >> 16;
		high[x] = (high_of(p[-1], p[0], p[1], p[2]) + 32768) >> 16;
	}
	for (int x = 0; x < half; x = x == 0 ? max_int(inner, 1) : x + 1) {
		int t[4];
		taps(x, w, t);
		low[x] = (low_of(s[t[0]], s[t[1]], s[t[2]], s[t[3]]) + 32768) >> 16;
		high[x] = (high_of(s[t[0]], s[t[1]], s[t[2]], s[t[3]]) + 32768) >> 16;
	}
}

CLONES void quality_wavelet(const uint16_t *src, int w, int h, int depth,
                            int32_t *a, int32_t *hb, int32_t *v, int32_t *d, int32_t *scratch) {
	const int half = (w + 1) / 2;
	const int32_t round = 1 << (depth - 1), middle = round - LOW_SUM * round;
	int32_t *restrict low = scratch, *restrict high = scratch + w;
	for (int i = 0; i < (h + 1) / 2; i++) {
		int t[4];
		taps(i, h, t);
		const uint16_t *s0 = src + (int64_t)t[0] * w, *s1 = src + (int64_t)t[1] * w;
		const uint16_t *s2 = src + (int64_t)t[2] * w, *s3 = src + (int64_t)t[3] * w;
		for (int x = 0; x < w; x++) {
			low[x] = (low_of(s0[x], s1[x], s2[x], s3[x]) + middle) >> depth;
			high[x] = (high_of(s0[x], s1[x], s2[x], s3[x]) + round) >> depth;
		}
		int64_t at = (int64_t)i * half;
		split(low, w, a + at, v + at);
		split(high, w, hb + at, d + at);
	}
}

INLINE int64_t low64(int32_t a, int32_t b, int32_t c, int32_t d) {
	return (int64_t)LOW0 * a + (int64_t)LOW1 * b + (int64_t)LOW2 * c + (int64_t)LOW3 * d;
}
INLINE int64_t high64(int32_t a, int32_t b, int32_t c, int32_t d) {
	return (int64_t)LOW3 * a - (int64_t)LOW2 * b + (int64_t)LOW1 * c - (int64_t)LOW0 * d;
}

INLINE void split32(const int32_t *restrict s, int w, int shift, int32_t *restrict low, int32_t *restrict high) {
	const int64_t round = (int64_t)1 << (shift - 1);
	const int half = (w + 1) / 2, inner = (w - 3) / 2 + 1;
	for (int x = 1; x < inner; x++) {
		const int32_t *p = s + 2 * x;
		low[x] = (int32_t)((low64(p[-1], p[0], p[1], p[2]) + round) >> shift);
		high[x] = (int32_t)((high64(p[-1], p[0], p[1], p[2]) + round) >> shift);
	}
	for (int x = 0; x < half; x = x == 0 ? max_int(inner, 1) : x + 1) {
		int t[4];
		taps(x, w, t);
		low[x] = (int32_t)((low64(s[t[0]], s[t[1]], s[t[2]], s[t[3]]) + round) >> shift);
		high[x] = (int32_t)((high64(s[t[0]], s[t[1]], s[t[2]], s[t[3]]) + round) >> shift);
	}
}

CLONES void quality_wavelet32(const int32_t *src, int w, int h, int scale,
                              int32_t *a, int32_t *hb, int32_t *v, int32_t *d, int32_t *scratch) {
	static const int shifts[4][2] = {{0, 0}, {0, 15}, {16, 16}, {16, 15}};
	const int vertical = shifts[scale][0], horizontal = shifts[scale][1], half = (w + 1) / 2;
	const int64_t round = vertical == 0 ? 0 : (int64_t)1 << (vertical - 1);
	int32_t *restrict low = scratch, *restrict high = scratch + w;
	for (int i = 0; i < (h + 1) / 2; i++) {
		int t[4];
		taps(i, h, t);
		const int32_t *s0 = src + (int64_t)t[0] * w, *s1 = src + (int64_t)t[1] * w;
		const int32_t *s2 = src + (int64_t)t[2] * w, *s3 = src + (int64_t)t[3] * w;
		for (int x = 0; x < w; x++) {
			low[x] = (int32_t)((low64(s0[x], s1[x], s2[x], s3[x]) + round) >> vertical);
			high[x] = (int32_t)((high64(s0[x], s1[x], s2[x], s3[x]) + round) >> vertical);
		}
		int64_t at = (int64_t)i * half;
		split32(low, w, horizontal, a + at, v + at);
		split32(high, w, horizontal, hb + at, d + at);
	}
}

INLINE uint64_t detail_row(const int32_t *row, int n, int square, uint64_t square_round, int cube, uint64_t cube_round) {
	uint64_t sum = 0;
	for (int x = 0; x < n; x++) {
		uint64_t a = (uint32_t)abs_int(row[x]);
		sum += (((a * a + square_round) >> square) * a + cube_round) >> cube;
	}
	return sum;
}

CLONES void quality_adm_detail(const int32_t *hb, const int32_t *v, const int32_t *d, quality_adm p, uint64_t *sums) {
	const int32_t *bands[3] = {hb, v, d};
	const uint64_t square_round = p.scale > 0 ? (uint64_t)1 << p.square_shift : 0;
	const uint64_t cube_round = p.scale > 0 ? (uint64_t)1 << p.cube_shift >> 1 : 0;
	const uint64_t row_round = (uint64_t)1 << p.row_shift >> 1;
	const int n = p.right - p.left;
	for (int y = p.top; y < p.bottom; y++)
		for (int i = 0; i < 3; i++) {
			const int32_t *row = bands[i] + (int64_t)y * p.w + p.left;
			uint64_t sum = p.scale == 0 ? detail_row(row, n, 0, 0, 0, 0)
			                            : detail_row(row, n, p.square_shift, square_round, p.cube_shift, cube_round);
			sums[i] += (sum + row_round) >> p.row_shift;
		}
}

INLINE f64x4 four(double v) { return (f64x4){v, v, v, v}; }

INLINE f64x4 load(const int32_t *from) {
	i32x4 v;
	memcpy(&v, from, 16);
	return __builtin_convertvector(v, f64x4);
}

INLINE f64x4 single(f64x4 v) { return __builtin_convertvector(__builtin_convertvector(v, f32x4), f64x4); }

// kept stores, for four places, the reference's coefficient o as far as t keeps
// it: see kept in plain_adm.go. Whole numbers up to 2^53 are exact in a double,
// and larger ones are cut to the same bound.
INLINE void kept(int32_t *to, f64x4 o, f64x4 t, i64x4 aligned, f64x4 limit, const int fine) {
	const i64x4 sign = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
	const f64x4 zero = {}, one = four(1), all = four(32768);
	f64x4 a = (f64x4)((i64x4)o & ~sign), step = one;
	a = SELECT(a > one, a, one);
	if (!fine) {
		// The power of two below a, which leaves 15 bits of a where it has more.
		step = (f64x4)((i64x4)a & ((int64_t)0x7ff << 52)) * (1.0 / 16384);
		step = SELECT(step > one, step, one);
		a = whole(a / step + 0.5);
	}
	f64x4 q = (f64x4)((i64x4)whole(1073741824.0 / a) | ((i64x4)o & sign));
	f64x4 gain = fine ? (q * t + 16384) * (1.0 / 32768) : (q * t + 16384 * step) / (32768 * step);
	gain = SELECT(gain > zero, gain, zero);
	gain = whole(SELECT(gain < all, gain, all));
	gain = SELECT(o == zero, all, gain);
	f64x4 r = whole((gain * o + 16384) * (1.0 / 32768));
	f64x4 stronger = r * limit;
	f64x4 up = SELECT(stronger < t, stronger, t), down = SELECT(stronger > t, stronger, t);
	f64x4 limited = SELECT(r > zero, up, down);
	r = SELECT(aligned & (r != zero), limited, r);
	i32x4 narrow = __builtin_convertvector(r, i32x4);
	memcpy(to, &narrow, 16);
}

// A cast rounds to single precision, as libvmaf does.
INLINE i64x4 is_aligned(f64x4 oh, f64x4 ov, f64x4 th, f64x4 tv, double cosine) {
	f64x4 product = single(oh * th + ov * tv), o = single(oh * oh + ov * ov), t = single(th * th + tv * tv);
	return (product >= 0.0) & (product * product >= cosine * o * t);
}

INLINE void masking0(int32_t a, int32_t factor, int shift, int32_t round, int32_t *around, int32_t *own) {
	int32_t seen = abs_int((int16_t)((factor * a + round) >> shift));
	*around += (int16_t)((4369 * seen + 2048) >> 12);
	*own += (int16_t)((8738 * seen + 2048) >> 12);
}

INLINE void masking(int32_t a, int64_t factor, int32_t *around, int32_t *own) {
	int64_t seen = abs_int((int32_t)((factor * a + (1 << 27)) >> 28));
	*around += (int32_t)((143165577 * seen - ((int64_t)1 << 31)) >> 32);
	*own += (int32_t)((286331153 * seen - ((int64_t)1 << 31)) >> 32);
}

INLINE int64_t cube_above(int32_t x, int32_t threshold, int square, int cube, int64_t cube_round) {
	x = max_int(abs_int(x) - threshold, 0);
	uint64_t wide = (uint32_t)x;
	uint64_t squared = (uint32_t)((wide * wide + ((uint64_t)1 << (square - 1))) >> square);
	return (int64_t)((squared * wide + (uint64_t)cube_round) >> cube);
}

INLINE void masked(const int32_t *const *ref, const int32_t *const *dis, quality_adm p, const int fine, int32_t *scratch, int64_t *sums) {
	const int w = p.w, h = p.h, n = w + 2 + 4; // vectors write behind the row
	const f64x4 limit = four(p.limit);
	const int first = max_int(p.top - 1, 0), last = min_int(p.bottom + 1, h);
	const int from = max_int(p.left - 1, 0), to = min_int(p.right + 1, w);
	const int64_t cube_round = (int64_t)1 << p.kept_shift >> 1, cube_round_d = (int64_t)1 << p.kept_shift_d >> 1;
	const int64_t row_round = (int64_t)1 << p.kept_row_shift >> 1;
	const int64_t f0 = p.factors[0], f2 = p.factors[2];
	int done = first;
	for (int y = p.top; y < p.bottom; y++) {
		for (; done < min_int(y + 2, last); done++) {
			int32_t *slot = scratch + (int64_t)(done % 3) * 5 * n;
			int32_t *restrict around = slot + 1, *restrict own = slot + n + 1;
			int32_t *restrict r0 = slot + 2 * n + 1, *restrict r1 = slot + 3 * n + 1, *restrict r2 = slot + 4 * n + 1;
			const int64_t at = (int64_t)done * w;
			const int32_t *restrict oh = ref[0] + at, *restrict ov = ref[1] + at, *restrict od = ref[2] + at;
			const int32_t *restrict th = dis[0] + at, *restrict tv = dis[1] + at, *restrict td = dis[2] + at;
			for (int x = from; x < to; x += 4) {
				f64x4 o0 = load(oh + x), o1 = load(ov + x), t0 = load(th + x), t1 = load(tv + x);
				i64x4 aligned = is_aligned(o0, o1, t0, t1, p.cosine);
				kept(r0 + x, o0, t0, aligned, limit, fine);
				kept(r1 + x, o1, t1, aligned, limit, fine);
				kept(r2 + x, load(od + x), load(td + x), aligned, limit, fine);
			}
			INDEPENDENT
			for (int x = from; x < to; x++) {
				int32_t near = 0, here = 0;
				if (fine) {
					masking0(th[x] - r0[x], (int32_t)f0, 15, 16384, &near, &here);
					masking0(tv[x] - r1[x], (int32_t)f0, 15, 16384, &near, &here);
					masking0(td[x] - r2[x], (int32_t)f2, 17, 65535, &near, &here);
				} else {
					masking(th[x] - r0[x], f0, &near, &here);
					masking(tv[x] - r1[x], f0, &near, &here);
					masking(td[x] - r2[x], f2, &near, &here);
				}
				around[x] = near;
				own[x] = here;
			}
			if (from == 0)
				around[-1] = around[1];
			if (to == w)
				around[w] = around[w - 1];
		}
		const int32_t *base = scratch + 1;
		const int32_t *here = base + (int64_t)(y % 3) * 5 * n;
		const int32_t *down = base + (int64_t)((y + 1) % 3) * 5 * n, *up = base + (int64_t)((y + 2) % 3) * 5 * n;
		if (y == 0)
			up = down;
		if (y == h - 1)
			down = here;
		const int32_t *own = here + n, *r0 = here + 2 * n, *r1 = here + 3 * n, *r2 = here + 4 * n;
		int64_t s0 = 0, s1 = 0, s2 = 0;
		for (int x = p.left; x < p.right; x++) {
			int32_t threshold = own[x] + here[x - 1] + here[x + 1] + up[x - 1] + up[x] + up[x + 1] + down[x - 1] + down[x] + down[x + 1];
			if (fine) {
				s0 += cube_above((int32_t)f0 * r0[x], threshold * 1024, 29, p.kept_shift, cube_round);
				s1 += cube_above((int32_t)f0 * r1[x], threshold * 1024, 29, p.kept_shift, cube_round);
				s2 += cube_above((int32_t)f2 * r2[x], threshold * 4096, 30, p.kept_shift_d, cube_round_d);
			} else {
				s0 += cube_above((int32_t)((f0 * r0[x] + (1 << 27)) >> 28), threshold, 30, p.kept_shift, cube_round);
				s1 += cube_above((int32_t)((f0 * r1[x] + (1 << 27)) >> 28), threshold, 30, p.kept_shift, cube_round);
				s2 += cube_above((int32_t)((f2 * r2[x] + (1 << 27)) >> 28), threshold, 30, p.kept_shift, cube_round);
			}
		}
		sums[0] += (s0 + row_round) >> p.kept_row_shift;
		sums[1] += (s1 + row_round) >> p.kept_row_shift;
		sums[2] += (s2 + row_round) >> p.kept_row_shift;
	}
}

CLONES void quality_adm_masked(const int32_t *rh, const int32_t *rv, const int32_t *rd,
                               const int32_t *dh, const int32_t *dv, const int32_t *dd,
                               quality_adm p, int32_t *scratch, int64_t *sums) {
	const int32_t *ref[3] = {rh, rv, rd}, *dis[3] = {dh, dv, dd};
	if (p.scale == 0)
		masked(ref, dis, p, 1, scratch, sums);
	else
		masked(ref, dis, p, 0, scratch, sums);
}
