package remotetest

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
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
	var delivered sync.WaitGroup
	delivered.Go(func() { s.carry(conn, near) })
	s.serveSSH(far)
	delivered.Wait() // the server's last words, too
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
	server, channels, requests, err := ssh.NewServerConn(conn, s.configFor(conn))
	if err != nil {
		return
	}
	defer server.Close()
	if s.options.EndSession {
		return
	}
	s.running.Go(func() { ssh.DiscardRequests(requests) })
	var open atomic.Int64
	for offered := range channels {
		if offered.ChannelType() == "direct-tcpip" {
			s.running.Go(func() { s.forward(offered) })
			continue
		}
		if offered.ChannelType() != "session" {
			offered.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		s.at("session")
		if limit := s.options.MaxSessions; limit > 0 && open.Load() >= int64(limit) {
			offered.Reject(ssh.ConnectionFailed, "open failed")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		s.channels.Add(1)
		open.Add(1)
		s.running.Go(func() {
			defer open.Add(-1)
			s.session(channel, requests)
		})
	}
}

// forward connects a channel to an address, as sshd does (RFC 4254, section
// 7.2).
func (s *Server) forward(offered ssh.NewChannel) {
	if !s.options.Forward {
		offered.Reject(ssh.Prohibited, "open failed")
		return
	}
	var wanted struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}
	if err := ssh.Unmarshal(offered.ExtraData(), &wanted); err != nil {
		offered.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	connect := s.options.Connect
	if connect == nil {
		connect = func(address string) (net.Conn, error) { return net.Dial("tcp", address) }
	}
	far, err := connect(net.JoinHostPort(wanted.Host, strconv.Itoa(int(wanted.Port))))
	if err != nil {
		offered.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	defer far.Close()
	channel, requests, err := offered.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	s.forwarded.Add(1)
	s.running.Go(func() { ssh.DiscardRequests(requests) })
	s.running.Go(func() {
		io.Copy(far, channel)
		far.Close()
	})
	io.Copy(channel, far)
}

// configFor is the configuration for one connection: what ends it needs it.
func (s *Server) configFor(conn net.Conn) *ssh.ServerConfig {
	if s.options.Account == nil {
		return s.config
	}
	config := *s.config
	var saying ssh.ServerPreAuthConn
	config.PreAuthConnCallback = func(conn ssh.ServerPreAuthConn) { saying = conn }
	config.VerifiedPublicKeyCallback = func(meta ssh.ConnMetadata, _ ssh.PublicKey, permissions *ssh.Permissions, _ string) (*ssh.Permissions, error) {
		why := s.options.Account(meta.User())
		if why == "" {
			return permissions, nil
		}
		saying.SendAuthBanner(why)
		conn.Close()
		return nil, errors.New("account refused")
	}
	return &config
}
