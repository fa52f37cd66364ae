package cli

import "testing"

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		text string
		want Bytes
		back string
	}{
		{"0", 0, ""}, {"800MB", 800e6, "800MB"}, {"1.5GB", 1.5e9, "1500MB"}, {"2 GB", 2e9, "2GB"}, {"12kB", 12e3, "12kB"}, {"7B", 7, "7B"}, {"4096", 4096, "4096B"},
	} {
		var b Bytes
		if err := b.Set(c.text); err != nil || b != c.want || b.String() != c.back {
			t.Errorf("%q: %d, %q, %v; want %d, %q", c.text, b, b.String(), err, c.want, c.back)
		}
	}
	for _, text := range []string{"", "x", "-1MB", "1TB", "NaN", "1e30GB"} {
		var b Bytes
		if err := b.Set(text); err == nil {
			t.Errorf("%q is %d, want an error", text, b)
		}
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{1500: "1.5 kB", 2_500_000: "2.5 MB", 3_210_000_000: "3.21 GB"} {
		if got := Size(bytes); got != want {
			t.Errorf("%d bytes are %q, want %q", bytes, got, want)
		}
	}
}
