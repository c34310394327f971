package stack

// Options says where values of variables come from, and what Load may read.
type Options struct {
	Vars     []string // NAME=VALUE as given to --var; refused for sensitive variables
	VarFiles []string // paths of files of assignments; a later one wins

	// Env looks up an environment variable: for RELAYCTL_VAR_name, env() and
	// ~/ in paths (HOME). Nil is an empty environment.
	Env func(name string) (string, bool)

	// ReadFile reads the stack file, the files of VarFiles and those that
	// file() names. Nil reads the file system, up to 256 KiB of a regular file.
	ReadFile func(path string) ([]byte, error)

	// NeedValues makes it an error that a variable, an environment variable or
	// a file that the stack asks for is missing. Without it the attributes
	// that depend on them are left zero: good for validating only.
	NeedValues bool
}
