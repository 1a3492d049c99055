// Reads a compose file or a Dockerfile with the readers of Compose and BuildKit themselves, and prints as JSON
// what comes of it: `containers compose FILE` the project, with variables put in and short forms written out,
// `containers dockerfile FILE` the stages. What the specifications do not permit is an error.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: containers compose|dockerfile FILE")
	}
	read, known := map[string]func(string) (any, error){"compose": compose, "dockerfile": dockerfile}[os.Args[1]]
	if !known {
		fail("usage: containers compose|dockerfile FILE")
	}
	found, err := read(os.Args[2])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fail(err)
	}
}

func compose(path string) (any, error) {
	options, err := cli.NewProjectOptions([]string{path})
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

type stage struct {
	Name, Base string
	Steps      []step
}

// A step has its name, and what it says: the form depends on the instruction.
type step struct {
	Name string
	Text string // as it is written
	Says any
}

func dockerfile(path string) (any, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		return nil, err
	}
	for _, warning := range parsed.Warnings {
		return nil, fmt.Errorf("%s", warning.Short)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	found := []stage{}
	for _, one := range stages {
		steps := []step{}
		for _, command := range one.Commands {
			text := ""
			if written, can := command.(fmt.Stringer); can {
				text = written.String()
			}
			steps = append(steps, step{command.Name(), text, command})
		}
		found = append(found, stage{one.Name, one.BaseName, steps})
	}
	return found, nil
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
