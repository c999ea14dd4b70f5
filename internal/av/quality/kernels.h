// The loops over pixels of package quality, in C. What each does, and what its
// arguments are, is said at kernels in kernels.go; plain_*.go hold the same in
// Go, and a test compares every bit.
#ifndef LIUYUN_QUALITY_KERNELS_H
#define LIUYUN_QUALITY_KERNELS_H

#include <stdint.h>

void quality_widen(const uint8_t *from, uint16_t *into, int n);
void quality_halve(const uint16_t *src, uint16_t *dst, int w, int h, int scale, int shift, uint32_t *scratch);
void quality_vif(const uint16_t *ref, const uint16_t *dis, int w, int h, int scale, int shift, int square_shift,
                 const uint16_t *logs, const double *limits, int limit_count, uint32_t *scratch, int64_t *sums);
void quality_wavelet(const uint16_t *src, int w, int h, int depth,
                     int32_t *a, int32_t *hb, int32_t *v, int32_t *d, int32_t *scratch);
void quality_wavelet32(const int32_t *src, int w, int h, int scale,
                       int32_t *a, int32_t *hb, int32_t *v, int32_t *d, int32_t *scratch);

// Where ADM counts, and the bits that sums lose, worked out by the caller.
typedef struct {
	int w, h, left, right, top, bottom;
	int scale;
	int square_shift, cube_shift, row_shift;      // of quality_adm_detail
	int kept_shift, kept_shift_d, kept_row_shift; // of quality_adm_masked
	uint32_t factors[3];
	double limit, cosine;
} quality_adm;

void quality_adm_detail(const int32_t *hb, const int32_t *v, const int32_t *d, quality_adm p, uint64_t *sums);
void quality_adm_masked(const int32_t *rh, const int32_t *rv, const int32_t *rd,
                        const int32_t *dh, const int32_t *dv, const int32_t *dd,
                        quality_adm p, int32_t *scratch, int64_t *sums);
uint64_t quality_motion(const uint16_t *prev, const uint16_t *ref, int w, int h, int depth, int32_t *row);

#endif
