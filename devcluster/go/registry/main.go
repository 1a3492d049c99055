// An OCI registry: the distribution project's own, with what the tests need of it: files as storage, and
// htpasswd and token as ways to ask who it is. `registry hash` turns the password on its standard input into
// a line's second half of an htpasswd file.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	run := registry.RootCmd.Execute
	if len(os.Args) == 2 && os.Args[1] == "hash" {
		run = hash
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func hash() error {
	password, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	hashed, err := bcrypt.GenerateFromPassword(password, bcrypt.MinCost)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(hashed)
	return err
}
