// Reads one Kubernetes object as JSON from standard input and prints the verdict of the kstatus
// library on it as JSON: {"status":"Current","message":"…"}.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func run() error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return fmt.Errorf("cannot read standard input: %w", err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return fmt.Errorf("cannot read the object: %w", err)
	}
	result, err := status.Compute(object)
	if err != nil {
		return fmt.Errorf("cannot compute the status: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(verdict{result.Status.String(), result.Message})
}
