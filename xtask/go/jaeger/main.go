// Makes traces as an application does whose SDK asks Sluice for its rate, and prints what the SDK did
// as JSON: {"rate":0.1,"traces":1000,"sampled":103}. A trace has two spans of the service `front`,
// which asks, and one of `cart`, which does not and follows its caller.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"go.opentelemetry.io/contrib/samplers/jaegerremote"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const patience = time.Minute

type report struct {
	Rate    float64 `json:"rate"`
	Traces  int     `json:"traces"`
	Sampled int     `json:"sampled"`
}

func main() {
	sampling := flag.String("sampling", "http://127.0.0.1:5778/sampling", "where rates are told")
	endpoint := flag.String("endpoint", "127.0.0.1:4317", "where OTLP over gRPC is taken")
	traces := flag.Int("traces", 1000, "how many to make")
	seed := flag.Uint64("seed", 1, "of their ids")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx, *sampling, *endpoint, *traces, newIDs(*seed)); err != nil {
		fmt.Fprintln(os.Stderr, "jaeger:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sampling, endpoint string, traces int, ids *ids) error {
	sampler := jaegerremote.New("front",
		jaegerremote.WithSamplingServerURL(sampling),
		jaegerremote.WithInitialSampler(sdk.NeverSample()))
	defer sampler.Close()
	sampler.UpdateSampler()
	rate, err := rateOf(ctx, sampler, ids)
	if err != nil {
		return err
	}
	front, err := provider(ctx, endpoint, ids, "front", sdk.ParentBased(sampler))
	if err != nil {
		return err
	}
	cart, err := provider(ctx, endpoint, ids, "cart", sdk.ParentBased(sdk.AlwaysSample()))
	if err != nil {
		return err
	}
	sampled := 0
	for range traces {
		if visit(ctx, front.Tracer(""), cart.Tracer("")) {
			sampled++
		}
	}
	if err := errors.Join(front.Shutdown(ctx), cart.Shutdown(ctx)); err != nil {
		return fmt.Errorf("cannot send all spans: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(report{rate, traces, sampled})
}

// rateOf reads the rate off a trace that the sampler keeps.
func rateOf(ctx context.Context, sampler sdk.Sampler, ids *ids) (float64, error) {
	for range 1_000_000 {
		id, _ := ids.NewIDs(ctx)
		result := sampler.ShouldSample(sdk.SamplingParameters{TraceID: id})
		for _, said := range result.Attributes {
			if said.Key == "jaeger.sampler.param" {
				return said.Value.AsFloat64(), nil
			}
		}
	}
	return 0, errors.New("the sampler keeps nothing: it was told no rate")
}

// ids are random as the SDK's own, and the same for the same seed.
type ids struct{ random *rand.ChaCha8 }

func newIDs(seed uint64) *ids {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	return &ids{rand.NewChaCha8(key)}
}

func (ids *ids) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	_, _ = ids.random.Read(id[:])
	return id, ids.NewSpanID(ctx, id)
}

func (ids *ids) NewSpanID(context.Context, trace.TraceID) (span trace.SpanID) {
	_, _ = ids.random.Read(span[:])
	return span
}

func provider(
	ctx context.Context, endpoint string, ids *ids, service string, sampler sdk.Sampler,
) (*sdk.TracerProvider, error) {
	exporter, err := otlptracegrpc.New(ctx,
		otlptracegrpc.WithEndpoint(endpoint), otlptracegrpc.WithInsecure())
	if err != nil {
		return nil, fmt.Errorf("cannot make an exporter: %w", err)
	}
	name := resource.NewSchemaless(attribute.String("service.name", service))
	own, err := resource.Merge(resource.Default(), name)
	if err != nil {
		return nil, fmt.Errorf("cannot make a resource: %w", err)
	}
	return sdk.NewTracerProvider(sdk.WithResource(own), sdk.WithSampler(sampler),
		sdk.WithIDGenerator(ids), sdk.WithBatcher(exporter, sdk.WithBlocking())), nil
}

// visit makes one trace and tells whether it was sampled.
func visit(ctx context.Context, front, cart trace.Tracer) bool {
	ctx, root := front.Start(ctx, "GET /cart")
	defer root.End()
	ctx, call := front.Start(ctx, "call", trace.WithSpanKind(trace.SpanKindClient))
	defer call.End()
	_, served := cart.Start(trace.ContextWithRemoteSpanContext(ctx, call.SpanContext()), "GET /",
		trace.WithSpanKind(trace.SpanKindServer))
	defer served.End()
	return root.SpanContext().IsSampled()
}
