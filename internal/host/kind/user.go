package kind

import (
	"context"
	"fmt"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// users are system users with a group of their name.
type users struct{ *machine.Machine }

func (u users) Observe(_ context.Context, look *Look, resource plan.Resource, fact *plan.Fact) error {
	accounts, err := look.accounts()
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

func (u users) Bring(ctx context.Context, step *Step) (Outcome, error) {
	home := step.Resource.Want[plan.AttrHome].Text
	if step.Now.Exists {
		if !step.MadeBefore() {
			return Outcome{}, nil // a user that was found keeps its home
		}
		_, err := u.Runner.Run(ctx, machine.Command{Name: "usermod", Args: []string{"--home", home, "--", step.Resource.Name}})
		return Outcome{Made: true}, err
	}
	args := []string{"--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"}
	if home != "" {
		args = append(args, "--home-dir", home)
	}
	_, err := u.Runner.Run(ctx, machine.Command{Name: "useradd", Args: append(args, "--", step.Resource.Name)})
	return Outcome{Made: true}, err
}

func (u users) Remove(ctx context.Context, step *Step) (Outcome, error) {
	if _, err := u.Runner.Run(ctx, machine.Command{Name: "userdel", Args: []string{"--", step.Change.ID.Name}}); err != nil {
		return Outcome{}, fmt.Errorf("remove user: %w", err)
	}
	return Outcome{}, nil
}
