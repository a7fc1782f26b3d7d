package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gx-dev/gx/wire"
)

// Ask asks about what the host stores: an operation of package ask of the
// engine, such as "volume.list". params becomes JSON; the answer's JSON is put
// into result, unless that is nil, and its bytes are returned. data has at most
// 64 MiB. An *api.Error has the kind of the refusal as its code: "not_found",
// "exists", "refused", "conflict", "full", "empty".
func (c *Client) Ask(ctx context.Context, op string, params any, data []byte, result any) ([]byte, error) {
	encoded, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("asking the host for %s: %w", op, err)
	}
	body, err := wire.EncodeMessage(wire.AskBody{Op: op, Params: encoded}, data)
	if err != nil {
		return nil, fmt.Errorf("asking the host for %s: %w", op, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/ask/"+url.PathEscape(op), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking the host for %s: %w", op, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the host: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return nil, refusal(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return nil, fmt.Errorf("reading the host's answer: %w", err)
	}
	var head struct {
		Result json.RawMessage `json:"result"`
	}
	out, err := wire.DecodeMessage(answer, &head)
	if err != nil {
		return nil, fmt.Errorf("reading the host's answer: %w", err)
	}
	if result != nil && len(head.Result) > 0 {
		if err := json.Unmarshal(head.Result, result); err != nil {
			return nil, fmt.Errorf("reading the host's answer: %w", err)
		}
	}
	return out, nil
}
