package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// DecodeStrict reads one JSON object, in which no member may be unknown: a
// misspelt limit must not be a limit left out.
func DecodeStrict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more after the JSON object")
	}
	return nil
}

// Duration is a time.Duration written as Go does: "30s", "1h30m".
type Duration time.Duration

// UnmarshalText parses d.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// MarshalText prints d.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}
