package tokenizer

import "unicode/utf8"

// Byte-level vocabularies write every byte as one printable character: bytes
// that are printable in Latin-1 stand for themselves, the other 68 are numbered
// upwards from U+0100 (Radford et al., Language Models are Unsupervised
// Multitask Learners, 2019).
const firstShifted = 0x100

var (
	byteChar [256]rune         // character that stands for a byte
	charByte = map[rune]byte{} // and back
)

func init() {
	shifted := rune(firstShifted)
	for b := range 256 {
		c := rune(b)
		if !printableLatin1(c) {
			c = shifted
			shifted++
		}
		byteChar[b] = c
		charByte[c] = byte(b)
	}
}

func printableLatin1(c rune) bool {
	return '!' <= c && c <= '~' || '¡' <= c && c <= '¬' || '®' <= c && c <= 'ÿ'
}

// appendBytes appends the bytes that a token of the vocabulary stands for. A
// token with a character outside the byte alphabet stands for its own UTF-8
// text, as in the Python library's decoder.
func appendBytes(dst []byte, token string) []byte {
	start := len(dst)
	for i := 0; i < len(token); {
		if c := token[i]; '!' <= c && c <= '~' {
			dst = append(dst, c)
			i++
			continue
		}
		c, n := utf8.DecodeRuneInString(token[i:])
		b, ok := charByte[c]
		if !ok {
			return append(dst[:start], token...)
		}
		dst = append(dst, b)
		i += n
	}
	return dst
}
