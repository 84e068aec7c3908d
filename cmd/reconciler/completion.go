package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

const completionLong = `Print a script that teaches a shell to complete commands, flags, and the names of
services and replicas, for which the daemon is asked.

  bash   . <(reconciler completion bash)   in ~/.bashrc; it needs the package bash-completion
  zsh    . <(reconciler completion zsh)    in ~/.zshrc, after compinit
  fish   reconciler completion fish > ~/.config/fish/completions/reconciler.fish`

func (a *app) completion() *cobra.Command {
	return &cobra.Command{
		Use:       "completion bash|zsh|fish",
		Short:     "Print a script for the completion of a shell",
		Long:      completionLong,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args: func(_ *cobra.Command, shells []string) error {
			if len(shells) != 1 {
				return fmt.Errorf("cannot tell which shell: name it, as in `reconciler completion bash`")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, shells []string) error {
			switch shells[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(a.stdout)
			case "fish":
				return cmd.Root().GenFishCompletion(a.stdout, true)
			}
			return fmt.Errorf("cannot complete in %q: it must be bash, zsh or fish", shells[0])
		},
	}
}
