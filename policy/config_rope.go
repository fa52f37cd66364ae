package policy

import "math"

// InvFreq returns the inverse frequencies of the rotary embedding, HeadDim/2 of
// them, computed in float32 as transformers does:
//
//	f[i] = 1 / theta^(2i / HeadDim)
//
// Linear scaling divides them by the factor. Llama 3's rule divides those with a
// wavelength 2 pi / f above OriginalMaxPositions / LowFreqFactor, keeps those below
// OriginalMaxPositions / HighFreqFactor, and goes from one to the other linearly
// in OriginalMaxPositions / wavelength between.
//
// Su et al. 2021, https://arxiv.org/abs/2104.09864, section 3.2.2.
func (c Config) InvFreq() []float32 {
	freq := make([]float32, c.HeadDim/2)
	for i := range freq {
		x := float32(2*i) / float32(c.HeadDim)
		freq[i] = c.RopeScaling.apply(1 / float32(math.Pow(float64(float32(c.RopeTheta)), float64(x))))
	}
	return freq
}

// apply scales one inverse frequency.
func (s RopeScaling) apply(f float32) float32 {
	switch s.Type {
	case RopeLinear:
		return f / float32(s.Factor)
	case RopeLlama3:
		return s.threeBands(f)
	}
	return f
}

func (s RopeScaling) threeBands(f float32) float32 {
	wavelength := float32(2*math.Pi) / f
	length, factor := float64(s.OriginalMaxPositions), float32(s.Factor)
	switch {
	case wavelength > float32(length/s.LowFreqFactor):
		return f / factor
	case wavelength < float32(length/s.HighFreqFactor):
		return f
	}
	smooth := (float32(length)/wavelength - float32(s.LowFreqFactor)) / float32(s.HighFreqFactor-s.LowFreqFactor)
	return (1-smooth)*f/factor + smooth*f
}
