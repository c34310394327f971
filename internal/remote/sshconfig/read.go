package sshconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Read is for where there is no ssh to ask: it reads the operator's file, then
// the system's, at its path; "" for none. Home is the operator's folder, and user
// the operator's name here. An error names the file and the line. What Read can't
// tell, such as what a Match exec comes to, counts as not there, and NotFollowed
// has it.
func Read(home, system, user string, q Query) (Config, error) {
	files := []file{{path: filepath.Join(home, ".ssh/config"), folder: filepath.Join(home, ".ssh"), guarded: true}}
	if system != "" {
		files = append(files, file{path: system, folder: filepath.Dir(system)})
	}
	return readFiles(home, user, q, files)
}

// file is one to read.
type file struct {
	path    string
	folder  string // that the names in Include start from
	guarded bool   // nobody else may be able to write it: it names programs to run
	off     bool   // it is included where nothing holds
	depth   int    // of Include
}

// maxDepth is how deep files may include each other, as with ssh.
const maxDepth = 16

// reader reads the files about one host.
type reader struct {
	home, user string
	query      Query
	conf       Config
	final      bool // all is read once more
	wantFinal  bool // as a Match final has it
}

func readFiles(home, user string, q Query, files []file) (Config, error) {
	r := &reader{home: home, user: user, query: q, conf: Config{values: map[string][]string{}}}
	if q.User != "" {
		r.add("user", q.User)
	}
	if q.Port != 0 {
		r.add("port", strconv.Itoa(q.Port))
	}
	err := r.readAll(files)
	if err == nil && r.wantFinal {
		r.final = true
		r.add("hostname", "%h") // from here on, it is settled
		err = r.readAll(files)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read ssh's configuration for %s: %w", q.Address, err)
	}
	r.conf.values["hostname"] = []string{r.hostname()}
	if user != "" {
		r.add("user", user)
	}
	if way := r.conf.First("canonicalizehostname", "no"); way != "no" {
		r.cannot("CanonicalizeHostname %s", way)
	}
	delete(r.conf.values, "canonicalizehostname")
	r.conf.complete()
	return r.conf, nil
}

func (r *reader) readAll(files []file) error {
	for _, f := range files {
		if err := r.read(f); err != nil {
			return err
		}
	}
	return nil
}

// read reads a file, and those that it includes.
func (r *reader) read(f file) error {
	if f.depth > maxDepth {
		return fmt.Errorf("%s: files include each other more than %d deep", f.path, maxDepth)
	}
	text, err := f.text()
	if err != nil {
		return err
	}
	on, number := !f.off, 0
	for line := range strings.Lines(text) {
		number++
		if on, err = r.readLine(f, strings.Trim(line, blank), on); err != nil {
			return fmt.Errorf("%s line %d: %w", f.path, number, err)
		}
	}
	return nil
}

// text is what stands in a file: nothing, where it is missing or a folder.
func (f file) text() (string, error) {
	opened, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer opened.Close()
	info, err := opened.Stat()
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", nil
	case f.guarded && othersWrite(info):
		return "", fmt.Errorf("%s: others may write it, and it can name programs to run: see to it with chown and chmod go-w", f.path)
	}
	text, err := io.ReadAll(opened)
	return string(text), err
}

// othersWrite tells whether somebody beside root and who runs relayctl may
// write a file.
func othersWrite(info fs.FileInfo) bool {
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	return info.Mode()&0o022 != 0 || owner != 0 && owner != os.Getuid()
}

var keywordForm = regexp.MustCompile(`^[a-z0-9]+$`)

// readLine reads one line. On tells whether what stands there holds for the
// host, before it and after.
func (r *reader) readLine(f file, line string, on bool) (bool, error) {
	if line == "" || line[0] == '#' {
		return on, nil
	}
	keyword, rest, err := cut(line)
	keyword = strings.ToLower(keyword)
	switch {
	case err != nil:
		return on, err
	case !keywordForm.MatchString(keyword):
		return on, fmt.Errorf("%q is no keyword", keyword)
	case keyword == "host":
		return r.readHost(f, rest)
	case keyword == "match":
		return r.readMatch(f, rest)
	case keyword == "include":
		return on, r.include(f, rest, on)
	case on:
		return on, r.set(keyword, rest)
	}
	return on, nil
}

func (r *reader) readHost(f file, rest string) (on bool, err error) {
	patterns, err := split(rest)
	if err == nil && len(patterns) == 0 {
		err = errors.New("nothing stands behind Host")
	}
	name := r.query.Address
	if r.final {
		name = r.hostname()
	}
	return !f.off && Matches(patterns, name), err
}

func (r *reader) readMatch(f file, rest string) (on bool, err error) {
	list, err := criteria(rest)
	if err != nil {
		return false, err
	}
	on, unknown := r.matchHolds(list)
	if unknown != "" && !f.off {
		r.cannot("Match %s in %s", unknown, f.path)
	}
	return on && !f.off, nil
}

// include reads the files that an Include names, as if they stood there; but
// no Host or Match of theirs goes on behind it.
func (r *reader) include(f file, rest string, on bool) error {
	patterns, err := split(rest)
	if err == nil && len(patterns) == 0 {
		err = errors.New("nothing stands behind Include")
	}
	if err != nil {
		return err
	}
	for _, pattern := range patterns {
		if inHome, ok := strings.CutPrefix(pattern, "~/"); ok {
			pattern = filepath.Join(r.home, inHome)
		}
		if strings.HasPrefix(pattern, "~") || strings.ContainsAny(pattern, "$%") {
			r.cannot("Include %s in %s", pattern, f.path)
			continue
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(f.folder, pattern)
		}
		for _, path := range glob(pattern) {
			inner := file{path: path, folder: f.folder, guarded: true, off: !on, depth: f.depth + 1}
			if err := r.read(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// glob lists the files of a pattern in the order of their names. As in a
// shell, no "*" stands for what begins with a dot.
func glob(pattern string) []string {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return []string{pattern} // it is no pattern
	}
	asked := strings.Split(pattern, "/")
	return slices.DeleteFunc(paths, func(path string) bool {
		for i, name := range strings.Split(path, "/") {
			if strings.HasPrefix(name, ".") && !strings.HasPrefix(asked[i], ".") {
				return true
			}
		}
		return false
	})
}

// set takes a value, where it is the first, or one of a keyword that adds up.
func (r *reader) set(keyword, rest string) error {
	if name := formerly[keyword]; name != "" {
		keyword = name
	}
	value, known, err := read(keyword, rest)
	if err != nil || !known {
		return err
	}
	switch jump := r.conf.First("proxyjump", "none"); {
	case keyword == "connecttimeout" && value == "none": // nothing was said, to ssh
	case keyword == "identityfile" || keyword == "certificatefile":
		if !slices.Contains(r.conf.values[keyword], value) {
			r.conf.values[keyword] = append(r.conf.values[keyword], value)
		}
	case keyword == "proxycommand" && !strings.EqualFold(jump, "none"):
	case keyword == "proxyjump" && r.conf.values["proxycommand"] != nil:
	default:
		r.add(keyword, value)
	}
	return nil
}

// add takes a value, where there is none yet.
func (r *reader) add(keyword, value string) {
	if r.conf.values[keyword] == nil {
		r.conf.values[keyword] = []string{value}
	}
}

// hostname is the host's name by what has been read so far.
func (r *reader) hostname() string {
	name := strings.NewReplacer("%%", "%", "%h", r.query.Address).Replace(r.conf.First("hostname", "%h"))
	if _, err := netip.ParseAddr(name); err == nil {
		return name // its zone may have capitals
	}
	return strings.ToLower(name)
}

// cannot notes what Read can't read.
func (r *reader) cannot(format string, args ...any) {
	if phrase := fmt.Sprintf(format, args...); !slices.Contains(r.conf.unread, phrase) {
		r.conf.unread = append(r.conf.unread, phrase)
	}
}
