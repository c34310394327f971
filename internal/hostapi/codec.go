package hostapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// magic begins the greeting's line; whatever a login shell prints before it is
// noise.
const magic = "relay-host greets "

// Limits of the conversation, in bytes.
const (
	maxNoise = 64 << 10 // what may come before the greeting
	maxLine  = 32 << 20 // a message: the facts of a host with many small files
)

// ErrNoGreeting means that the other end never greeted: it is not relay-host,
// or it ended first.
var ErrNoGreeting = errors.New("no greeting from relay-host")

// WriteGreeting begins the conversation on relay-host's side.
func WriteGreeting(w io.Writer, hello Hello) error {
	line, err := json.Marshal(hello)
	if err != nil {
		return fmt.Errorf("encode greeting: %w", err)
	}
	_, err = fmt.Fprintf(w, "\n%s%s\n", magic, line) // the first newline ends a line of noise
	return err
}

// ReadGreeting reads past the noise to the greeting. The error wraps
// ErrNoGreeting where none came.
func ReadGreeting(r *bufio.Reader) (Hello, error) {
	var hello Hello
	for read := 0; read < maxNoise; {
		line, err := readLine(r, maxNoise)
		if rest, ok := bytes.CutPrefix(line, []byte(magic)); ok && err == nil {
			if err := json.Unmarshal(rest, &hello); err != nil {
				return Hello{}, fmt.Errorf("decode greeting: %w", err)
			}
			return hello, nil
		}
		if err != nil {
			return Hello{}, fmt.Errorf("%w: %w", ErrNoGreeting, err)
		}
		read += len(line) + 1
	}
	return Hello{}, fmt.Errorf("%w within %d bytes", ErrNoGreeting, maxNoise)
}

// ReadMessage reads one line into v. It returns io.EOF at a clean end.
func ReadMessage(r *bufio.Reader, v any) error {
	_, err := readMessage(r, v)
	return err
}

// readMessage is ReadMessage that tells how many bytes the line had.
func readMessage(r *bufio.Reader, v any) (size int, err error) {
	line, err := readLine(r, maxLine)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(line, v); err != nil {
		return 0, fmt.Errorf("decode message: %w", err)
	}
	return len(line), nil
}

// EncodeMessage is v as one line.
func EncodeMessage(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return append(line, '\n'), nil
}

// readLine reads up to and without the next newline, at most limit bytes.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, fmt.Errorf("read line: longer than %d bytes", limit)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}
