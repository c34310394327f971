package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/relayctl/relayctl/test/lab"
)

// check says what is missing, all at once.
func check(ctx context.Context, args []string) error {
	target := "lab"
	if len(args) > 0 {
		target = args[0]
	}
	err := lab.Check(ctx)
	if errors.Is(err, lab.ErrNotRoot) {
		err = fmt.Errorf("%w\nRun it as root: sudo env PATH=$PATH make %s", err, target)
	}
	if err != nil {
		return err
	}
	missing := lab.MissingPackages()
	if len(missing) == 0 {
		fmt.Println("This machine can run the lab.")
		return nil
	}
	fmt.Println("This machine can run the lab once these packages are installed:", strings.Join(missing, " "))
	return nil
}

// install installs what is missing.
func install(ctx context.Context) error {
	missing := lab.MissingPackages()
	if len(missing) == 0 {
		return nil
	}
	fmt.Println("Installing from this machine's package sources:", strings.Join(missing, " "))
	// One source among many that cannot be reached need not matter: whether
	// the packages come decides.
	updated := aptGet(ctx, "update")
	installed := aptGet(ctx, append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
	if installed != nil {
		return errors.Join(updated, installed)
	}
	if left := lab.MissingPackages(); len(left) > 0 {
		return fmt.Errorf("still missing after the installation: %s", strings.Join(left, " "))
	}
	return nil
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
	}
	return nil
}
