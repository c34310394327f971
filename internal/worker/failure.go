package worker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/relayctl/relayctl/internal/protocol"
)

// midAnswer is a failure after the head of an answer came.
type midAnswer struct{ error }

func (m *midAnswer) Unwrap() error { return m.error }

// unreachable is an engine that saw nothing of a request.
func unreachable(text, detail string, args ...any) *protocol.ResetError {
	return &protocol.ResetError{Code: protocol.ResetUnreachable, Text: text, Detail: fmt.Sprintf(detail, args...)}
}

// resetOf is what the relay is told of err: its kind for the client, who is to
// learn no address, and all of it for who runs the stack.
func (e *engine) resetOf(err error) *protocol.ResetError {
	where := e.model.Backend.Host
	var reset *protocol.ResetError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var name *net.DNSError
	switch {
	case errors.As(err, &reset):
		return reset
	case errors.As(err, &certificate):
		return unreachable("the certificate of the model's engine is not trusted", "the certificate of %s is not one that this host trusts: %v", where, certificate.Err)
	case errors.As(err, &record):
		return unreachable("the model's engine does not speak TLS", "%s does not speak TLS, and its address says https", where)
	case errors.As(err, &name):
		return unreachable("the name of the engine's host can't be resolved", "the name %s can't be resolved: %s", name.Name, name.Err)
	case isDial(err):
		return unreachable("the model's engine can't be reached, it may be starting", "%s", notDialled(where, err))
	}
	return e.broken(err)
}

// isDial reports whether err is that there is no connection to an engine.
func isDial(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial"
}

// notDialled says why there is none.
func notDialled(where string, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens on " + where
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s does not answer: no connection within %s", where, dialTime)
	}
	return fmt.Sprintf("no connection to %s: %v", where, err)
}

// broken is an engine that took a connection and then failed.
func (e *engine) broken(err error) *protocol.ResetError {
	where, when := e.model.Backend.Host, "before it answered"
	var begun *midAnswer
	if errors.As(err, &begun) {
		when = "in the middle of an answer"
	}
	detail := fmt.Sprintf("%s failed %s: %v", where, when, err)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		detail = fmt.Sprintf("%s closed the connection %s", where, when)
	}
	return &protocol.ResetError{Code: protocol.ResetEngine, Text: "the model's engine broke off", Detail: detail}
}

// speaksTLS reports whether an engine whose address says http speaks TLS, to
// tell why its answers are none, or are refusals that no API gives.
func (e *engine) speaksTLS(ctx context.Context) bool {
	if e.model.Backend.Scheme != "http" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // nothing is sent, whoever it is
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(e.model.Backend.Hostname(), cmp.Or(e.model.Backend.Port(), "80")))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (e *engine) plainToTLS() error {
	return unreachable("the model's engine speaks TLS only", "%s speaks TLS, and its address says http", e.model.Backend.Host)
}

// redirected is what becomes of an answer that sends elsewhere: the engine's
// address is fixed by the settings.
func (e *engine) redirected(response *http.Response) error {
	return &protocol.ResetError{
		Code: protocol.ResetEngine, Text: "the model's engine answered with a redirect",
		Detail: fmt.Sprintf("%s redirects to %s", e.model.Backend.Host, response.Header.Get("Location")),
	}
}
