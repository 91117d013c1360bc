package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ParseTargets parses a list of "[NAME=]URL", whose names must differ. It adds "/v1" to a URL without a path.
func ParseTargets(texts []string) ([]Target, error) {
	var targets []Target
	for _, text := range texts {
		target, err := parseTarget(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(targets, func(t Target) bool { return t.Name == target.Name }) {
			return nil, fmt.Errorf("two servers have the name %q", target.Name)
		}
		targets = append(targets, target)
	}
	return targets, nil
}

func parseTarget(text string) (Target, error) {
	name, base := "", text
	if before, after, ok := strings.Cut(text, "="); ok && !strings.Contains(before, "/") {
		name, base = before, after
	}
	parsed, err := url.Parse(base)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" || parsed.RawQuery != "" || parsed.User != nil {
		return Target{}, fmt.Errorf("%q is not a [NAME=]URL of a server, such as http://127.0.0.1:8080/v1", text)
	}
	if name == "" {
		name = parsed.Host
	}
	if parsed.Path == "" || parsed.Path == "/" {
		parsed.Path = "/v1"
	}
	return Target{Name: name, URL: strings.TrimRight(parsed.String(), "/")}, nil
}

// maxModelsBytes bounds a list of models.
const maxModelsBytes = 1 << 20

// FirstModel returns the name of a server's first model.
func FirstModel(ctx context.Context, target Target) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	call, err := http.NewRequestWithContext(ctx, http.MethodGet, target.URL+"/models", nil)
	if err != nil {
		return "", err
	}
	if target.Key != "" {
		call.Header.Set("Authorization", "Bearer "+target.Key)
	}
	response, err := http.DefaultClient.Do(call)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxModelsBytes))
	if err != nil || response.StatusCode != http.StatusOK || json.Unmarshal(body, &list) != nil || len(list.Data) == 0 {
		return "", fmt.Errorf("the server lists no models (%s): name one with --request-model", response.Status)
	}
	return list.Data[0].ID, nil
}
