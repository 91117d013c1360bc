package variant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"prunellm/convert"
	"prunellm/models"
	"prunellm/models/gguf"
	"prunellm/models/safetensors"
	"prunellm/prune"
	"prunellm/prune/recover"
)

// The stored form of trained weights is a safetensors file like that of DownPacker. It has one tensor U8[rows, bytes of
// a row] per trained weight. The metadata has the tensor's GGUF type under the tensor's name, and the RecoveryReport as
// JSON under reportKey. If training brought no gain, there are no tensors.
const reportKey = "recovery"

// maxReportBytes bounds a stored report.
const maxReportBytes = 1 << 20

// EncodeRecovered returns the stored form of the report and the weights of a training run. The weights have the
// precision of the variant's file.
func EncodeRecovered(model *models.GGUF, fileType convert.FileType, slim models.Config, result *recover.Result, codec convert.Codec) ([]byte, error) {
	report, err := json.Marshal(RecoveryReport{Result: *result, Better: result.Better()})
	if err != nil {
		return nil, fmt.Errorf("recovery report: %w", err)
	}
	metadata := map[string]string{reportKey: string(report)}
	var sources []safetensors.Source
	for slot, values := range result.Weights {
		kind, shape, err := trainedType(model, fileType, slim, slot)
		if err != nil {
			return nil, err
		}
		rowLen := shape[len(shape)-1]
		packed, err := pack(codec, kind, values, rowLen)
		if err != nil {
			return nil, fmt.Errorf("pack trained %s: %w", slot.Name(), err)
		}
		metadata[slot.Name()] = kind.String()
		rows := len(values) / rowLen
		sources = append(sources, safetensors.Source{
			Name: slot.Name(), DType: safetensors.U8, Shape: []int{rows, len(packed) / rows},
			Write: func(_ context.Context, w io.Writer) error { _, err := w.Write(packed); return err },
		})
	}
	return safetensors.EncodeSources(sources, metadata)
}

// RoundTrained rounds a tensor's values to the type in which EncodeRecovered stores them. For f32 it returns values
// unchanged.
func RoundTrained(model *models.GGUF, fileType convert.FileType, slim models.Config, slot models.Slot, values []float32, codec convert.Codec) ([]float32, error) {
	kind, shape, err := trainedType(model, fileType, slim, slot)
	if err != nil || kind == gguf.F32 {
		return values, err
	}
	packed, err := pack(codec, kind, values, shape[len(shape)-1])
	if err != nil {
		return nil, err
	}
	return models.DequantizeWith(codec.Dequantize, kind, packed, len(values))
}

// trainedType returns the stored type and the shape of a trained tensor.
func trainedType(model *models.GGUF, fileType convert.FileType, slim models.Config, slot models.Slot) (gguf.Type, []int, error) {
	info, ok := model.TensorInfo(slot)
	if !ok {
		return 0, nil, fmt.Errorf("trained %s: %w", slot.Name(), models.ErrNoTensor)
	}
	return storedType(fileType.TensorType(slim, slot, info.Type)), slim.TensorShape(slot.Role, slot.Layer), nil
}

// recoveredFile holds stored trained weights. Their names, types and sizes have been checked against the model.
type recoveredFile struct {
	file   *safetensors.File
	report RecoveryReport
	slots  []models.Slot
	slim   models.Config
}

func openRecovered(value []byte, model *models.GGUF, fileType convert.FileType, plan *prune.Plan) (*recoveredFile, error) {
	file, err := safetensors.Parse(bytes.NewReader(value), int64(len(value)))
	if err != nil {
		return nil, err
	}
	r := &recoveredFile{file: file, slim: model.Config()}
	r.slim.FFN = plan.Widths()
	text := file.Metadata[reportKey]
	if len(text) > maxReportBytes {
		return nil, fmt.Errorf("report of %d bytes; the limit is %d", len(text), maxReportBytes)
	}
	if err := json.Unmarshal([]byte(text), &r.report); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if err := checkReport(r.report); err != nil {
		return nil, err
	}
	known := map[string]models.Slot{}
	for _, slot := range r.slim.Slots() {
		known[slot.Name()] = slot
	}
	for _, info := range file.Infos {
		slot, ok := known[info.Name]
		if !ok || !slot.Role.PerLayer() {
			return nil, fmt.Errorf("tensor %q is not a trained tensor", info.Name)
		}
		kind, shape, err := trainedType(model, fileType, r.slim, slot)
		if err != nil {
			return nil, err
		}
		size, err := kind.Size(int64(elements(shape)))
		if err != nil || info.Size != size || file.Metadata[info.Name] != kind.String() {
			return nil, fmt.Errorf("tensor %q has %d bytes of type %q instead of %d of %s", info.Name, info.Size, file.Metadata[info.Name], size, kind)
		}
		r.slots = append(r.slots, slot)
	}
	if r.report.Better != (len(r.slots) > 0) {
		return nil, errors.New("report and weights contradict each other")
	}
	return r, nil
}

// checkReport returns an error for values that no training can give.
func checkReport(report RecoveryReport) error {
	for _, f := range []recover.Figures{report.Before, report.After} {
		if !(f.KL >= -1e-3 && f.CrossEntropy >= 0) || math.IsInf(f.KL+f.CrossEntropy, 0) {
			return fmt.Errorf("report: figures %+v are out of range", f)
		}
	}
	if report.Tokens < 0 || report.Steps < 0 || report.Elapsed < 0 || report.Better && !(report.After.KL < report.Before.KL) {
		return errors.New("report: tokens, steps, elapsed time or gain is out of range")
	}
	return nil
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// CheckRecovered returns the report of stored trained weights. It returns an error if the weights do not fit the plan
// or contain NaN or infinity.
func CheckRecovered(value []byte, model *models.GGUF, fileType convert.FileType, plan *prune.Plan, codec convert.Codec) (RecoveryReport, error) {
	r, err := openRecovered(value, model, fileType, plan)
	if err != nil {
		return RecoveryReport{}, fmt.Errorf("trained weights: %w", err)
	}
	return r.report, r.unpack(model, fileType, codec, func(models.Slot, []float32) {})
}

// DecodeRecovered dequantizes stored trained weights. It returns the errors of CheckRecovered.
func DecodeRecovered(value []byte, model *models.GGUF, fileType convert.FileType, plan *prune.Plan, codec convert.Codec) (map[models.Slot][]float32, error) {
	r, err := openRecovered(value, model, fileType, plan)
	if err != nil {
		return nil, fmt.Errorf("trained weights: %w", err)
	}
	weights := map[models.Slot][]float32{}
	err = r.unpack(model, fileType, codec, func(slot models.Slot, values []float32) { weights[slot] = values })
	return weights, err
}

// unpack dequantizes one tensor at a time and passes it to take. It returns an error for NaN or infinity.
func (r *recoveredFile) unpack(model *models.GGUF, fileType convert.FileType, codec convert.Codec, take func(models.Slot, []float32)) error {
	for _, slot := range r.slots {
		info, err := r.file.Tensor(slot.Name())
		if err != nil {
			return err
		}
		kind, shape, err := trainedType(model, fileType, r.slim, slot)
		if err != nil {
			return err
		}
		raw := make([]byte, info.Size)
		if _, err := io.ReadFull(r.file.Data(info), raw); err != nil {
			return fmt.Errorf("trained weights: %s: %w", slot.Name(), err)
		}
		values, err := models.DequantizeWith(codec.Dequantize, kind, raw, elements(shape))
		if err != nil {
			return fmt.Errorf("trained weights: %s: %w", slot.Name(), err)
		}
		if i := nonFinite(values); i >= 0 {
			return fmt.Errorf("trained weights: %s: value %d is %v", slot.Name(), i, values[i])
		}
		take(slot, values)
	}
	return nil
}
