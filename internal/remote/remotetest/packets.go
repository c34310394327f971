package remotetest

import (
	"encoding/binary"
	"io"
	"os"
	"sync"
)

// packetReader reads SFTP's packets one by one, and notes the modes that
// folders are to be made with: the SFTP library's server does not tell them.
type packetReader struct {
	io.ReadWriteCloser
	server *Server
	rest   []byte // of the packet that is being read

	mu    sync.Mutex
	asked map[string]os.FileMode
}

// Of SFTP, version 3.
const (
	sftpMkdir        = 14
	attrsPermissions = 4
	maxPacket        = 1 << 20
)

// Read implements io.Reader.
func (r *packetReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		var size [4]byte
		if _, err := io.ReadFull(r.ReadWriteCloser, size[:]); err != nil {
			return 0, err
		}
		length := binary.BigEndian.Uint32(size[:])
		if length > maxPacket {
			return 0, io.ErrUnexpectedEOF
		}
		packet := make([]byte, length)
		if _, err := io.ReadFull(r.ReadWriteCloser, packet); err != nil {
			return 0, err
		}
		r.note(packet)
		r.rest = append(size[:], packet...)
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// note takes down a packet's type and, of one that makes a folder, what it asks
// for: after its type come its number, the path, which attributes follow, and
// the mode.
func (r *packetReader) note(packet []byte) {
	if len(packet) == 0 {
		return
	}
	r.server.mu.Lock()
	r.server.packets = append(r.server.packets, packet[0])
	r.server.mu.Unlock()
	if len(packet) < 9 || packet[0] != sftpMkdir {
		return
	}
	rest := packet[5:]
	length := binary.BigEndian.Uint32(rest)
	if rest = rest[4:]; uint32(len(rest)) < length+8 || binary.BigEndian.Uint32(rest[length:]) != attrsPermissions {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[string(rest[:length])] = os.FileMode(binary.BigEndian.Uint32(rest[length+4:])).Perm()
}

// mode is what a folder is to be made with.
func (r *packetReader) mode(name string) os.FileMode {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mode, ok := r.asked[name]; ok {
		return mode
	}
	return 0o777
}
