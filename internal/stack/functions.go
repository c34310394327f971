package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// outsideFunctions read what stands outside the stack file.
var outsideFunctions = []string{"env", "file"}

// functionError is an error of a function of ours. Its text is always safe to
// show, whatever the arguments were.
type functionError struct{ text string }

func (e *functionError) Error() string { return e.text }

func functionErrorf(format string, args ...any) error {
	return &functionError{fmt.Sprintf(format, args...)}
}

// functions are those of the language, by name.
func (l *loader) functions() map[string]function.Function {
	return map[string]function.Function{
		"env":        l.envFunction(),
		"file":       l.fileFunction(),
		"cidrhost":   cidrHostFunction(),
		"length":     lengthFunction(),
		"startswith": affixFunction(strings.HasPrefix),
		"endswith":   affixFunction(strings.HasSuffix),
		"format":     formatFunction(stdlib.FormatFunc),
		"formatlist": formatFunction(stdlib.FormatListFunc),
		"chomp":      stdlib.ChompFunc,
		"coalesce":   stdlib.CoalesceFunc,
		"compact":    stdlib.CompactFunc,
		"concat":     stdlib.ConcatFunc,
		"contains":   stdlib.ContainsFunc,
		"distinct":   stdlib.DistinctFunc,
		"element":    stdlib.ElementFunc,
		"flatten":    stdlib.FlattenFunc,
		"join":       stdlib.JoinFunc,
		"keys":       stdlib.KeysFunc,
		"lookup":     stdlib.LookupFunc,
		"lower":      stdlib.LowerFunc,
		"merge":      stdlib.MergeFunc,
		"replace":    stdlib.ReplaceFunc,
		"sort":       stdlib.SortFunc,
		"split":      stdlib.SplitFunc,
		"substr":     stdlib.SubstrFunc,
		"title":      stdlib.TitleFunc,
		"tobool":     stdlib.MakeToFunc(cty.Bool),
		"tonumber":   stdlib.MakeToFunc(cty.Number),
		"tostring":   stdlib.MakeToFunc(cty.String),
		"trim":       stdlib.TrimFunc,
		"trimprefix": stdlib.TrimPrefixFunc,
		"trimspace":  stdlib.TrimSpaceFunc,
		"trimsuffix": stdlib.TrimSuffixFunc,
		"upper":      stdlib.UpperFunc,
		"values":     stdlib.ValuesFunc,
	}
}

// envFunction reads an environment variable of the operator's machine.
func (l *loader) envFunction() function.Function {
	return l.outsideFunction("env", "name", func(name, shown string) (cty.Value, error) {
		text, ok := l.options.Env(name)
		switch {
		case !ok && l.options.needsAll():
			return cty.NilVal, functionErrorf("The environment variable%s is not set.", shown)
		case !ok:
			return cty.UnknownVal(cty.String), nil
		case !utf8.ValidString(text):
			return cty.NilVal, functionErrorf("The environment variable%s is not UTF-8 text.", shown)
		}
		return cty.StringVal(text), nil
	})
}

// fileFunction reads a text file of the operator's machine, relative to the
// stack file.
func (l *loader) fileFunction() function.Function {
	return l.outsideFunction("file", "path", func(path, shown string) (cty.Value, error) {
		text, err := l.readFile(l.resolve(path))
		switch {
		case errors.Is(err, fs.ErrNotExist) && !l.options.NeedValues, err != nil && l.options.SecretsAside:
			return cty.UnknownVal(cty.String), nil
		case err != nil:
			return cty.NilVal, functionErrorf("The file%s can't be read: %s.", shown, cause(err))
		case !utf8.Valid(text):
			return cty.NilVal, functionErrorf("The file%s is not UTF-8 text.", shown)
		}
		return cty.StringVal(strings.TrimPrefix(string(text), "\ufeff")), nil
	})
}

// outsideFunction is a function of one string that reads what stands outside
// the stack file. shown is the string as messages quote it, after a space;
// it is empty where the string itself is not to be shown.
func (l *loader) outsideFunction(called, parameter string, read func(name, shown string) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: parameter, Type: cty.String, AllowMarked: true, AllowUnknown: true}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name, marks := args[0].Unmark()
			if !name.IsKnown() {
				return name.WithMarks(marks).Mark(provenance{}), nil
			}
			o, shown := provenance{fmt.Sprintf("%s(%q)", called, name.AsString()), called + "()"}, ""
			if len(marks) == 0 {
				shown = " " + quote(name.AsString())
				o.shown = called + "(" + quote(name.AsString()) + ")"
			}
			v, err := read(name.AsString(), shown)
			if err != nil {
				return cty.NilVal, err
			}
			if v.IsKnown() {
				l.secrets.texts[o] = v.AsString()
			}
			if secret, ok := l.secretAmong(marks); ok {
				v = v.Mark(secret)
			}
			return v.Mark(o), nil
		},
	})
}

// cause is an error without the path that its message would repeat.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// resolve gives the path of a file that the stack names: relative to the stack
// file, ~/ being the home folder where it is known.
func (l *loader) resolve(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if l.options.Home == "" {
			return path
		}
		return filepath.Join(l.options.Home, rest)
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(l.filename), path)
}

// affixFunction is startswith or endswith.
func affixFunction(has func(s, affix string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "affix", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(has(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// lengthFunction counts the characters of a string, or the elements of a
// collection.
func lengthFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			switch v := args[0]; {
			case v.Type() == cty.String:
				return stdlib.Strlen(v)
			case v.CanIterateElements():
				return cty.NumberIntVal(int64(v.LengthInt())), nil
			}
			return cty.NilVal, functionErrorf("length takes text, a list or a map.")
		},
	})
}

// widePattern finds a field of a format that would be filled up to thousands
// of characters.
var widePattern = regexp.MustCompile(`%[^%A-Za-z]*[0-9]{4}`)

// formatFunction guards inner, which allocates whatever width it is told.
func formatFunction(inner function.Function) function.Function {
	return function.New(&function.Spec{
		Params:   inner.Params(),
		VarParam: inner.VarParam(),
		Type:     inner.ReturnTypeForValues,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if widePattern.MatchString(args[0].AsString()) {
				return cty.NilVal, functionErrorf("A field of a format is at most 999 characters wide.")
			}
			return inner.Call(args)
		},
	})
}

// cidrHostFunction gives the address of a host in a network: cidrhost(
// "10.0.0.0/24", 21) is 10.0.0.21; a negative number counts from the end.
func cidrHostFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "network", Type: cty.String}, {Name: "host", Type: cty.Number}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			network, err := netip.ParsePrefix(args[0].AsString())
			if err != nil {
				return cty.NilVal, functionErrorf(`cidrhost takes a network such as "10.0.0.0/24" first.`)
			}
			n := args[1].AsBigFloat()
			if !n.IsInt() || n.MantExp(nil) > 130 {
				return cty.NilVal, functionErrorf("cidrhost takes a whole number second, of at most 128 bits.")
			}
			number, _ := n.Int(nil)
			return hostAddress(network.Masked(), number)
		},
	})
}

// hostAddress adds number to the network's first address, or, where number is
// negative, to the one after its last.
func hostAddress(network netip.Prefix, number *big.Int) (cty.Value, error) {
	size := new(big.Int).Lsh(big.NewInt(1), uint(network.Addr().BitLen()-network.Bits()))
	if number.Sign() < 0 {
		number.Add(size, number)
	}
	if number.Sign() < 0 || number.Cmp(size) >= 0 {
		return cty.NilVal, functionErrorf("The network has no host with that number: it has %s addresses.", size)
	}
	base := network.Addr().AsSlice()
	ip, _ := netip.AddrFromSlice(number.Add(number, new(big.Int).SetBytes(base)).FillBytes(base))
	return cty.StringVal(ip.String()), nil
}
