package convert

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"prunellm/models"
	"prunellm/models/gguf"
)

// sources lists the tensors in the source's order.
func (s *slimmer) sources() []gguf.Source {
	tensors := s.tensors()
	out := make([]gguf.Source, 0, len(tensors))
	var done, total int64
	for _, tensor := range tensors {
		plans, kind := s.plans(tensor)
		var size int64
		for _, plan := range plans {
			part, _ := kind.Size(int64(plan.rowCount()) * int64(plan.rowLen())) // gguf.Write reports the error
			size += part
		}
		total += size
		out = append(out, gguf.Source{Name: tensor.Name, Type: kind, Shape: tensor.Shape, Write: func(ctx context.Context, w io.Writer) error {
			for i, plan := range plans {
				if err := s.fill(plan, tensor.Parts[i]); err != nil {
					return err
				}
				err := plan.write(ctx, w)
				plan.values = nil
				if err != nil {
					return err
				}
			}
			if done += size; s.options.Progress != nil {
				s.options.Progress(done, total)
			}
			return nil
		}})
	}
	return out
}

// tensors lists the tensors of the slim file, ordered by where their first parts begin in the source.
func (s *slimmer) tensors() []models.FileTensor {
	tensors := s.config.FileTensors()
	place := map[string]int64{}
	for _, tensor := range tensors {
		info, _ := s.source.TensorInfo(tensor.Parts[0]) // OpenGGUF refuses files without one
		place[tensor.Name] = info.Offset
	}
	slices.SortStableFunc(tensors, func(a, b models.FileTensor) int { return cmp.Compare(place[a.Name], place[b.Name]) })
	return tensors
}

// fill loads a plan's refitted values. It is called just before the plan is written, so that only one layer's values
// are in memory.
func (s *slimmer) fill(plan *rowPlan, slot models.Slot) (err error) {
	if slot.Role != models.FFNDown || s.options.LoadDown == nil || plan.values != nil {
		return nil
	}
	if plan.values, err = s.options.LoadDown(slot.Layer); err != nil || plan.values == nil {
		return err
	}
	if want := s.config.HiddenSize * s.config.FFN[slot.Layer]; len(plan.values) != want {
		return fmt.Errorf("layer %d: refitted down has %d values instead of %d", slot.Layer, len(plan.values), want)
	}
	return nil
}

// plans returns a plan for each part of a tensor, and the type in which to write the tensor. If the parts would have
// different types, it is the one with most bits, so that no part loses precision.
func (s *slimmer) plans(tensor models.FileTensor) ([]*rowPlan, gguf.Type) {
	var plans []*rowPlan
	for _, slot := range tensor.Parts {
		plans = append(plans, s.plan(slot))
	}
	bits := func(p *rowPlan) float64 { return float64(p.kind.TypeSize()) / float64(p.kind.BlockSize()) }
	kind := slices.MaxFunc(plans, func(a, b *rowPlan) int { return cmp.Compare(bits(a), bits(b)) }).kind
	for _, plan := range plans {
		plan.kind = kind
	}
	return plans, kind
}

func (s *slimmer) plan(slot models.Slot) *rowPlan {
	info, _ := s.source.TensorInfo(slot) // OpenGGUF refuses files without one
	shape := s.config.TensorShape(slot.Role, slot.Layer)
	p := &rowPlan{file: s.file, source: info, codec: s.options.Codec, shape: shape}
	p.kind = s.options.FileType.typeFor(s.config, slot, info.Type, p.rowLen())
	if s.config.FFN[slot.Layer] < s.dense.FFN[slot.Layer] {
		switch slot.Role {
		case models.FFNGate, models.FFNUp:
			p.rows = s.options.Kept[slot.Layer]
		case models.FFNDown:
			p.cols = s.options.Kept[slot.Layer]
		}
	}
	if slot.Role == models.FFNDown && s.options.Down != nil {
		p.values = s.options.Down[slot.Layer]
	}
	if values, ok := s.options.Weights[slot]; ok {
		p.values = values
	}
	if order := s.order(slot.Role); order != nil {
		p.reorder(order)
	}
	return p
}
