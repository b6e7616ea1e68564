package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

type kind int

// A kind is also the remainder that its numbers leave, so that no number is of two kinds.
const (
	ordinaryKind kind = iota
	errorKind
	slowKind
	http5xxKind
	rareKind
	kinds
)

const spansPerService = 2

func (kind kind) String() string {
	return [kinds]string{"ordinary", "error", "slow", "5xx", "rare"}[kind]
}

// One trace, before it is made.
type plan struct {
	number    int
	kind      kind
	operation string
	started   time.Time
	duration  time.Duration
}

func (load load) plan(number int) plan {
	random := rand.New(rand.NewPCG(load.seed, uint64(number)))
	plan := plan{number: number, kind: ordinaryKind, started: time.Now()}
	for kind := errorKind; kind < kinds; kind++ {
		if every := load.every[kind]; every > 0 && number%every == int(kind) {
			plan.kind = kind
		}
	}
	plan.operation = fmt.Sprintf("GET /page-%d", random.IntN(load.operations))
	// As durations are: half of them around 40 ms, and a long tail, here one that ends before 0.9 s.
	plan.duration = time.Duration(min(40*math.Exp(random.NormFloat64()/2), 900) * float64(time.Millisecond))
	if plan.kind == slowKind {
		plan.duration = time.Duration(1001+random.IntN(2000)) * time.Millisecond
	}
	return plan
}

// Makes the spans of all services; they leave when the SDK sends them.
func (plan plan) begin(ctx context.Context, chain []service) {
	ctx = context.WithValue(ctx, numberKey{}, plan.number)
	operation := plan.operation
	if plan.kind == rareKind {
		operation = "GET /export"
	}
	plan.serve(ctx, chain, 0, operation, plan.started, plan.duration)
}

// A service takes a call, and calls the next one, or its database.
func (plan plan) serve(
	ctx context.Context, chain []service, at int, operation string, start time.Time, duration time.Duration,
) {
	tracer := chain[at].tracer
	isLast := at+1 == len(chain)
	ctx, server := tracer.Start(ctx, operation, plan.is(at*spansPerService),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(start))
	status := 200
	if isLast && plan.kind == http5xxKind {
		status = 503
	}
	server.SetAttributes(attribute.Int("http.response.status_code", status))
	if isLast && plan.kind == errorKind {
		server.SetStatus(codes.Error, "out of stock")
	}
	inner, innerStart := duration*8/10, start.Add(duration/10)
	calling, client := tracer.Start(ctx, "call", plan.is(at*spansPerService+1),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(innerStart))
	if !isLast {
		plan.serve(overTheWire(calling), chain, at+1, plan.operation, innerStart, inner)
	}
	client.End(trace.WithTimestamp(innerStart.Add(inner)))
	server.End(trace.WithTimestamp(start.Add(duration)))
}

func (plan plan) is(span int) trace.SpanStartEventOption {
	return trace.WithAttributes(
		attribute.Int("e2e.trace", plan.number),
		attribute.String("e2e.kind", plan.kind.String()),
		attribute.Int("e2e.span", span),
	)
}

// What the next service knows of its caller: the W3C trace context.
func overTheWire(ctx context.Context) context.Context {
	headers := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, headers)
	return propagation.TraceContext{}.Extract(context.Background(), headers)
}

type numberKey struct{}

// Trace ids that whoever checks can compute.
type ids struct{ seed uint64 }

func (ids ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	number, _ := ctx.Value(numberKey{}).(int)
	id := trace.TraceID{}
	binary.BigEndian.PutUint64(id[:8], splitMix(ids.seed)|1)
	binary.BigEndian.PutUint64(id[8:], splitMix(ids.seed+uint64(number)))
	return id, ids.NewSpanID(ctx, id)
}

func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	id := trace.SpanID{}
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}

// The output after state `at` of SplitMix64; its bits are as good as random.
func splitMix(at uint64) uint64 {
	mixed := (at + 1) * 0x9e3779b97f4a7c15
	mixed = (mixed ^ mixed>>30) * 0xbf58476d1ce4e5b9
	mixed = (mixed ^ mixed>>27) * 0x94d049bb133111eb
	return mixed ^ mixed>>31
}
