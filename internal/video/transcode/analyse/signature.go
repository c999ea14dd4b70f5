package analyse

// Squeeze makes a picture of width × height luma samples from a small picture: each
// is the mean of what it covers. It appends them to to.
func Squeeze(to []byte, p Picture, width, height int) []byte {
	luma := p.Luma()
	const one = 1 << 12
	for y := range height {
		top, bottom := y*Height*one/height, (y+1)*Height*one/height
		for x := range width {
			left, right := x*Width*one/width, (x+1)*Width*one/width
			sum, area := 0, 0
			for v := top / one; v*one < bottom; v++ {
				rows := min(bottom, (v+1)*one) - max(top, v*one)
				for u := left / one; u*one < right; u++ {
					share := rows * (min(right, (u+1)*one) - max(left, u*one))
					sum += share * int(luma[v*Width+u])
					area += share
				}
			}
			to = append(to, byte((sum+area/2)/area))
		}
	}
	return to
}
