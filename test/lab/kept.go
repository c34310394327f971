package lab

import ()

// Kept lists the folders of the labs that were opened with Keep and stand.
func Kept() ([]string, error) {
	slots, err := slotsInUse(machine{})
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, s := range slots {
		if s.kept() {
			dirs = append(dirs, s.dir)
		}
	}
	return dirs, nil
}
