package server

import (
	"bytes"
	"encoding/json"

	"github.com/gofiber/fiber/v2"
)

// marshal writes JSON without escaping <, > and &. Answers often are code and are never embedded in HTML.
func marshal(value any) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// writeJSON sends value. The caller has set the status.
func writeJSON(c *fiber.Ctx, value any) error {
	body, err := marshal(value)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(body)
}
