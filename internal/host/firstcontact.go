package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// Where the program is missing on a host, relayctl brings a copy for the one
// conversation, in a folder of its own whose name nobody can guess. The copy
// removes itself when it starts, so that only an upload that never became a
// conversation leaves anything: relayctl was killed, or the line broke.

var (
	uploadFolder = regexp.MustCompile(`^relayctl-[0-9a-f]{32}$`)
	// uploadFiles are all that relayctl puts there.
	uploadFiles = map[string]bool{"relay-host": true, "relay-host.gz": true}
)

// uploadTime is how long an upload may take before what is there of it counts
// as left behind: 7 MB at 2 kB/s.
const uploadTime = time.Hour

// removeFirstContact removes the program that runs, and its folder, when it
// was brought for one conversation only: it stands in a folder that nobody
// else may look into, and is not the one that is installed.
func removeFirstContact() error {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	if !isUpload(path) {
		return nil
	}
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("look at own folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove own program: %w", err)
	}
	os.Remove(folder) // only when nothing else is in it
	return nil
}

// isUpload reports whether a program stands where relayctl puts one for one
// conversation.
func isUpload(path string) bool {
	return uploadFolder.MatchString(filepath.Base(filepath.Dir(path))) && uploadFiles[filepath.Base(path)]
}

// SweepUploads removes what uploads left behind, where relayctl puts them: the
// folders for temporary files, and the home of login, the user who became
// root. What can't be removed stays for the next time.
func (h *Host) SweepUploads(login string, now time.Time) {
	folders := []string{"/tmp", "/var/tmp", "/root"}
	if users, err := h.Accounts(); err == nil && users.Users[login].Home != "" {
		folders = append(folders, users.Users[login].Home)
	}
	for _, folder := range folders {
		sweepUploads(h.Path(folder), now.Add(-uploadTime))
	}
}

// sweepUploads removes the uploads in a folder that nothing has happened to
// since a time. Anybody may write to the folder and make names there, so each
// is opened once, never through a link, and what is held is what is judged and
// emptied: the worst that anybody can bring about is the loss of files of
// their own that are called as ours are.
func sweepUploads(folder string, since time.Time) {
	dir, err := os.OpenFile(folder, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // those that could be read
	for _, name := range names {
		if uploadFolder.MatchString(name) {
			sweepUpload(dir, name, since)
		}
	}
}

func sweepUpload(dir *os.File, name string, since time.Time) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	upload := os.NewFile(uintptr(fd), name)
	defer upload.Close()
	entries, err := upload.Readdirnames(len(uploadFiles) + 1) // enough to find one that is not ours
	if err != nil && !errors.Is(err, io.EOF) || !isAbandoned(fd, "", unix.S_IFDIR, since) {
		return
	}
	for _, entry := range entries {
		if !uploadFiles[entry] || !isAbandoned(fd, entry, unix.S_IFREG, since) {
			return
		}
	}
	for _, entry := range entries {
		unix.Unlinkat(fd, entry, 0)
	}
	unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR) // only when it is empty
}

// isAbandoned reports whether a name in an open folder, or with none the
// folder itself, is of a kind and has not been written to since a time.
func isAbandoned(folder int, name string, kind uint32, since time.Time) bool {
	var stat unix.Stat_t
	if err := unix.Fstatat(folder, name, &stat, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH); err != nil {
		return false
	}
	return stat.Mode&unix.S_IFMT == kind && time.Unix(stat.Mtim.Unix()).Before(since)
}
