package stack

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
)

// Line is the range of a whole line, from 1, of a file that the stack was read
// from: what is known only by its line can be quoted by Snippet, too. A line
// that does not exist has a range of no file.
func (s *Sources) Line(filename string, line int) hcl.Range {
	f, ok := s.files[filename]
	if !ok || line < 1 {
		return hcl.Range{}
	}
	start := 0
	for n := 1; n < line; n++ {
		end := bytes.IndexByte(f.src[start:], '\n')
		if end < 0 {
			return hcl.Range{}
		}
		start += end + 1
	}
	_, end := lineAround(f.src, start)
	return hcl.Range{
		Filename: filename,
		Start:    hcl.Pos{Line: line, Column: 1, Byte: start},
		End:      hcl.Pos{Line: line, Column: 1 + end - start, Byte: end},
	}
}
