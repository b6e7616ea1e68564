// An app as the claims' teams run it: traces made by the OpenTelemetry SDK of Go and exported over
// OTLP/gRPC. It can also push to a gateway as only agents may, to see who is let in.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

const usage = `sdk sends traces by the OpenTelemetry SDK of Go, or knocks at gateways.

Traces: numbers from --first on; each is a chain of calls through --services, with a SERVER and a CLIENT
span in each service. Every service has a TracerProvider, a resource and an exporter of its own, so
the spans of a trace leave in several requests. Times are written, not waited for. A trace is
  error     number %% --error-every == 1   its last service's SERVER span has the status Error
  slow      number %% --slow-every  == 2   it takes 1.001 s to 3 s
  5xx       number %% --5xx-every   == 3   its last service answers 503, without an error status
  rare      number %% --rare-every  == 4   it begins with an operation that no other kind has
  ordinary  otherwise
where each of these --…-every is 0, for none, or above 4. Each span says its trace's number
(e2e.trace), kind (e2e.kind) and its own place in the trace (e2e.span; 0 is the root).
The last 8 bytes of a trace id are SplitMix64 of --seed + number.
At the end, what was sent is printed as JSON; a failed export ends the program with an error.

Gateways: with --push-to-gateway, one trace with an error is pushed to each of them with each
--token; what each was answered is printed as JSON. The certificate is not looked at, so that the
token is the only obstacle.

`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

func run() error {
	load := load{}
	pushes := pushes{}
	flag.StringVar(&load.endpoint, "endpoint", "localhost:4317", "the agent's `host:port`; plain text")
	flag.IntVar(&load.first, "first", 0, "number of the first trace")
	flag.IntVar(&load.traces, "traces", 1000, "how many")
	flag.Uint64Var(&load.seed, "seed", 0, "of trace ids, durations and operations")
	flag.Float64Var(&load.perSecond, "per-second", 500, "traces a second")
	services := flag.String("services", "front,cart,stock", "the chain of calls")
	flag.IntVar(&load.operations, "operations", 3, "of each service, besides the rare one")
	flag.IntVar(&load.every[errorKind], "error-every", 100, "see above")
	flag.IntVar(&load.every[slowKind], "slow-every", 100, "see above")
	flag.IntVar(&load.every[http5xxKind], "5xx-every", 100, "see above")
	flag.IntVar(&load.every[rareKind], "rare-every", 0, "see above")
	flag.DurationVar(&load.batchTimeout, "batch-timeout", 5*time.Second, "of the SDK's batch processors")
	flag.Func("push-to-gateway", "the `host:port` of a gateway; may be repeated", pushes.addGateway)
	flag.Func("token", "`name=file` of a token, or name= for none; may be repeated", pushes.addToken)
	flag.StringVar(&pushes.namespace, "namespace", "", "whose spans the pushed ones are said to be")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; see --help", flag.Arg(0))
	}
	if len(pushes.gateways) > 0 {
		return report(pushes.run(context.Background()))
	}
	load.services = strings.Split(*services, ",")
	if load.operations < 1 || load.perSecond <= 0 || min(load.traces, load.first) < 0 {
		return errors.New("--operations and --per-second must be above 0, --traces and --first not below")
	}
	return report(load.run(context.Background()))
}

func report(found any, err error) error {
	if encoded := json.NewEncoder(os.Stdout).Encode(found); err == nil {
		return encoded
	}
	return err
}
