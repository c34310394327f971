package remotetest

import (
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.connections.Add(1)
		if s.keep(conn) {
			s.running.Go(func() { s.serve(conn) })
		}
	}
}

// keep remembers conn for Drop, or closes it where the server has stopped.
func (s *Server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stopped:
		conn.Close()
		return false
	default:
		s.conns[conn] = true
		return true
	}
}

// serve puts the simulated network between conn and the SSH server.
func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	s.at("accept")
	if s.options.Silent {
		<-s.stopped
		return
	}
	near, far := net.Pipe()
	s.running.Go(func() { s.carry(near, conn) })
	s.running.Go(func() { s.carry(conn, near) })
	s.serveSSH(far)
}

// packet is what was read at once, and when it arrives.
type packet struct {
	data []byte
	due  time.Time
}

// carry copies from src to dst, half a round trip later.
func (s *Server) carry(dst io.WriteCloser, src io.Reader) {
	defer dst.Close()
	flying := make(chan packet, 1024) // 32 MiB at full packets: more than any window
	s.running.Go(func() {
		defer close(flying)
		for {
			buffer := make([]byte, 32<<10)
			n, err := src.Read(buffer)
			if err != nil {
				return
			}
			select {
			case flying <- packet{buffer[:n], time.Now().Add(s.options.RTT / 2)}:
			case <-s.stopped:
				return
			}
		}
	})
	for next := range flying {
		arrival := time.NewTimer(time.Until(next.due))
		select {
		case <-arrival.C:
		case <-s.stopped:
			arrival.Stop()
			return
		}
		select {
		case <-s.frozen:
			<-s.stopped
			return
		default:
		}
		if _, err := dst.Write(next.data); err != nil {
			break
		}
	}
	if closer, ok := src.(io.Closer); ok {
		closer.Close()
	}
}

func (s *Server) serveSSH(conn net.Conn) {
	defer conn.Close()
	server, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	defer server.Close()
	s.running.Go(func() { ssh.DiscardRequests(requests) })
	for offered := range channels {
		if offered.ChannelType() != "session" {
			offered.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		s.at("session")
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		s.channels.Add(1)
		s.running.Go(func() { s.session(channel, requests) })
	}
}
