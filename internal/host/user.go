package host

import (
	"context"
	"fmt"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// users are system users with a group of their name.
type users struct{ *Host }

func (u users) observe(_ context.Context, view *look, resource plan.Resource, fact *plan.Fact) error {
	accounts, err := view.accounts()
	if err != nil {
		return err
	}
	account, exists := accounts.Users[resource.Name]
	if !exists {
		return nil
	}
	fact.Exists = true
	fact.Have = map[string]string{plan.AttrHome: account.Home}
	if _, hasGroup := accounts.Groups[resource.Name]; !hasGroup {
		fact.InWay = "it has no group of its name, which files of the stack are to belong to; to make it, on the host: groupadd " + resource.Name
	} else if account.IsLogin() {
		fact.InWay = fmt.Sprintf("it is a person's login (number %d, %s), who could read the stack's secrets; "+
			"if nobody logs in with it, on the host: usermod --shell /usr/sbin/nologin %s", account.UID, account.Shell, resource.Name)
	}
	return nil
}

func (u users) bring(ctx context.Context, b *batch, step step) (outcome, error) {
	home := step.resource.Want[plan.AttrHome].Text
	if step.now.Exists {
		if !step.madeBefore() {
			return outcome{}, nil // a user that was found keeps its home
		}
		_, err := u.Runner.Run(ctx, machine.Command{Name: "usermod", Args: []string{"--home", home, "--", step.resource.Name}})
		return outcome{made: true}, err
	}
	args := []string{"--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"}
	if home != "" {
		args = append(args, "--home-dir", home)
	}
	_, err := u.Runner.Run(ctx, machine.Command{Name: "useradd", Args: append(args, "--", step.resource.Name)})
	return outcome{made: true}, err
}

func (u users) remove(ctx context.Context, b *batch, step step) error {
	if _, err := u.Runner.Run(ctx, machine.Command{Name: "userdel", Args: []string{"--", step.change.ID.Name}}); err != nil {
		return fmt.Errorf("remove user: %w", err)
	}
	return nil
}

// madeBefore reports whether the manifest says that relayctl made the thing.
func (s step) madeBefore() bool { return s.applied != nil && s.applied.Made }
