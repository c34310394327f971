package protocol

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Greet is the worker's side of the exchange of HELLO. A relay that refuses
// says why in a *CloseError.
func Greet(ctx context.Context, t Transport, mine WorkerHello) (theirs RelayHello, err error) {
	mine.Protocol = Versions{MinVersion, MaxVersion}
	mine.Window = Window
	err = inTime(ctx, t, func() error {
		if err := writeHello(t, mine); err != nil {
			return err
		}
		return readHello(t, &theirs)
	})
	if err != nil {
		return theirs, err
	}
	if theirs.Use < MinVersion || theirs.Use > MaxVersion {
		return theirs, Refuse(t, CloseVersion, noneInCommon("worker", "relay", Versions{theirs.Use, theirs.Use}))
	}
	return theirs, checkWindow(theirs.Window)
}

// Receive is the first half of the relay's side: it reads the worker's HELLO
// and refuses a worker of which it knows no version. After it comes Answer
// or Refuse.
func Receive(ctx context.Context, t Transport) (theirs WorkerHello, err error) {
	if err := inTime(ctx, t, func() error { return readHello(t, &theirs) }); err != nil {
		return theirs, err
	}
	if theirs.Protocol.Min > MaxVersion || theirs.Protocol.Max < MinVersion {
		return theirs, Refuse(t, CloseVersion, noneInCommon("relay", "worker", theirs.Protocol))
	}
	theirs.Program = shown(theirs.Program)
	if err := checkHello(theirs); err != nil {
		return theirs, Refuse(t, CloseProtocol, err.Error())
	}
	return theirs, nil
}

// Answer is the second half: it takes the worker.
func Answer(ctx context.Context, t Transport, theirs WorkerHello, mine RelayHello) error {
	mine.Protocol = Versions{MinVersion, MaxVersion}
	mine.Use = min(MaxVersion, theirs.Protocol.Max)
	mine.Window = Window
	return inTime(ctx, t, func() error { return writeHello(t, mine) })
}

// Refuse ends a connection that has no Conn yet and returns what it said.
func Refuse(t Transport, code CloseCode, text string) error {
	said := &CloseError{Code: code, Text: cut(text), Sent: true}
	err := inTime(context.Background(), t, func() error { return t.WriteMessage(encodeText(TypeClose, 0, said)) })
	t.Close()
	return errors.Join(said, err)
}

func noneInCommon(me, you string, yours Versions) string {
	return fmt.Sprintf("no protocol version in common: %s speaks %d to %d, %s %d to %d", me, MinVersion, MaxVersion, you, yours.Min, yours.Max)
}

// inTime runs do and closes t after HelloTimeout or when ctx ends, which ends
// do.
func inTime(ctx context.Context, t Transport, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, HelloTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { t.Close() })
	err := do()
	if !stop() && err != nil {
		return fmt.Errorf("exchange hello: %w", context.Cause(ctx))
	}
	return err
}

func writeHello(t Transport, hello any) error {
	frame, err := encode(TypeHello, 0, hello)
	if err == nil {
		err = t.WriteMessage(frame)
	}
	if err != nil {
		return fmt.Errorf("write hello: %w", err)
	}
	return nil
}

func readHello(t Transport, into any) error {
	buf := make([]byte, MaxMessage)
	n, err := t.ReadMessage(buf)
	if err != nil {
		return fmt.Errorf("read hello: %w", err)
	}
	f, rest, err := NextFrame(buf[:n])
	switch {
	case err != nil:
		return fmt.Errorf("read hello: %w", err)
	case f.Type == TypeClose:
		return decodeClose(f)
	case f.Type != TypeHello || len(rest) > 0:
		return fmt.Errorf("read hello: %w: the first message is not one HELLO", ErrFrame)
	}
	return decode(f, into)
}

func decodeClose(f Frame) error {
	said := new(CloseError)
	if err := decode(f, said); err != nil {
		return err
	}
	said.Text = cut(said.Text)
	return said
}

// shown is text of a stranger's as a log and a screen can take it: 64 printable
// bytes at most.
func shown(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), 64)]
}

func checkWindow(window int) error {
	if window < minWindow || window > maxWindow {
		return fmt.Errorf("%w: a window of %d bytes is not between %d and %d", ErrFrame, window, minWindow, maxWindow)
	}
	return nil
}

func checkHello(h WorkerHello) error {
	if len(h.Models) > MaxOffers {
		return fmt.Errorf("%d models are over %d", len(h.Models), MaxOffers)
	}
	seen := make(map[string]bool)
	for _, offer := range h.Models {
		if offer.Concurrency < 1 || offer.Concurrency > MaxConcurrency {
			return fmt.Errorf("model %.128q: concurrency %d is not between 1 and %d", offer.Name, offer.Concurrency, MaxConcurrency)
		}
		if seen[offer.Name] {
			return fmt.Errorf("model %.128q is offered twice", offer.Name)
		}
		seen[offer.Name] = true
	}
	return checkWindow(h.Window)
}
