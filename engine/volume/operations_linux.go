package volume

import (
	"context"
	"strings"

	"github.com/gx-dev/gx/engine/ask"
)

// Operations implements ask.Service.
func (s *Store) Operations() map[string]ask.Handler {
	return map[string]ask.Handler{
		"volume.create":    answer(s.opCreate),
		"volume.get":       answer(s.opGet),
		"volume.ephemeral": answer(s.opEphemeral),
		"volume.list":      answer(s.opList),
		"volume.delete":    answer(s.opDelete),
		"volume.rename":    answer(s.opRename),
		"volume.history":   answer(s.opHistory),
		"volume.restore":   answer(s.opRestore),
		"volume.ls":        answer(s.opLs),
		"volume.read":      s.opRead,
		"volume.have":      answer(s.opHave),
		"volume.upload":    answer(s.opUpload),
		"volume.edit":      answer(s.opEdit),
		"volume.commit":    answer(s.opCommit),
		"volume.reload":    answer(s.opReload),
	}
}

// result is what an operation answers with.
type result map[string]any

// answer makes a handler of a function of parameters.
func answer[P any](f func(ctx context.Context, q ask.Query, p P) (result, error)) ask.Handler {
	return func(ctx context.Context, q ask.Query) (ask.Answer, error) {
		var p P
		if err := q.Decode(&p); err != nil {
			return ask.Answer{}, err
		}
		r, err := f(ctx, q, p)
		return ask.Answer{Result: r}, err
	}
}

// named says which volume is meant: by its id, or by environment and name.
type named struct {
	ID          string `json:"id"`
	Environment string `json:"environment"`
	Name        string `json:"name"`
}

// id is the volume's id.
func (s *Store) id(ctx context.Context, n named) (string, error) {
	if n.ID != "" {
		_, err := head(ctx, s.cfg.DB.Read(), n.ID)
		return n.ID, err
	}
	id, _, err := s.Get(ctx, n.Environment, n.Name)
	return id, err
}

func (s *Store) opCreate(ctx context.Context, _ ask.Query, p named) (result, error) {
	id, err := s.Create(ctx, p.Environment, p.Name, false)
	return result{"id": id}, err
}

type getParams struct {
	named
	CreateIfMissing bool `json:"create_if_missing"`
}

func (s *Store) opGet(ctx context.Context, _ ask.Query, p getParams) (result, error) {
	if p.CreateIfMissing && p.ID == "" {
		if _, err := s.Create(ctx, p.Environment, p.Name, true); err != nil {
			return nil, err
		}
	}
	id, err := s.id(ctx, p.named)
	if err != nil {
		return nil, err
	}
	v, err := head(ctx, s.cfg.DB.Read(), id)
	if err != nil {
		return nil, err
	}
	name, err := s.name(ctx, id)
	return result{"id": id, "name": name, "version": v.Version}, err
}

func (s *Store) opEphemeral(ctx context.Context, q ask.Query, _ struct{}) (result, error) {
	id, err := s.Ephemeral(ctx, q.From.App)
	return result{"id": id}, err
}

func (s *Store) opList(ctx context.Context, _ ask.Query, p named) (result, error) {
	list, err := s.List(ctx, p.Environment)
	return result{"volumes": list}, err
}

func (s *Store) opDelete(ctx context.Context, _ ask.Query, p named) (result, error) {
	id, err := s.id(ctx, p)
	if err != nil {
		return nil, err
	}
	return result{}, s.Delete(ctx, id)
}

type renameParams struct {
	named
	To string `json:"to"`
}

func (s *Store) opRename(ctx context.Context, _ ask.Query, p renameParams) (result, error) {
	return result{}, s.Rename(ctx, p.Environment, p.Name, p.To)
}

func (s *Store) opHistory(ctx context.Context, _ ask.Query, p named) (result, error) {
	id, err := s.id(ctx, p)
	if err != nil {
		return nil, err
	}
	list, err := s.History(ctx, id)
	return result{"versions": list}, err
}

type restoreParams struct {
	named
	Version int `json:"version"`
}

func (s *Store) opRestore(ctx context.Context, _ ask.Query, p restoreParams) (result, error) {
	id, err := s.id(ctx, p.named)
	if err != nil {
		return nil, err
	}
	number, err := s.Restore(ctx, id, p.Version)
	return result{"version": number}, err
}

type listParams struct {
	named
	Path      string `json:"path"`
	Recursive bool   `json:"recursive"`
	Version   *int   `json:"version"`
	After     string `json:"after"`
	Limit     int    `json:"limit"`
}

func (s *Store) opLs(ctx context.Context, _ ask.Query, p listParams) (result, error) {
	id, err := s.id(ctx, p.named)
	if err != nil {
		return nil, err
	}
	entries, next, err := s.ls(ctx, id, p.Path, p.Recursive, p.Version, p.After, p.Limit)
	return result{"entries": entries, "next": next}, err
}

type readParams struct {
	named
	Path    string `json:"path"`
	Version *int   `json:"version"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`
}

func (s *Store) opRead(ctx context.Context, q ask.Query) (ask.Answer, error) {
	var p readParams
	if err := q.Decode(&p); err != nil {
		return ask.Answer{}, err
	}
	id, err := s.id(ctx, p.named)
	if err != nil {
		return ask.Answer{}, err
	}
	number, err := s.pick(ctx, id, p.Version)
	if err != nil {
		return ask.Answer{}, err
	}
	size, data, err := s.read(ctx, id, p.Path, &number, p.Offset, p.Length)
	return ask.Answer{Result: result{"size": size, "version": number}, Data: data}, err
}

// pick is the number of the version that is meant.
func (s *Store) pick(ctx context.Context, id string, number *int) (int, error) {
	v, err := version(ctx, s.cfg.DB.Read(), id, number)
	return v.Version, err
}

type haveParams struct {
	SHA256 []string `json:"sha256"`
}

func (s *Store) opHave(_ context.Context, _ ask.Query, p haveParams) (result, error) {
	if len(p.SHA256) > maxSums {
		return nil, ask.TooLarge("%d hashes at once; at most %d are allowed", len(p.SHA256), maxSums)
	}
	missing, partial, err := s.stage.have(p.SHA256)
	return result{"missing": missing, "partial": partial}, err
}

type uploadParams struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Offset int64  `json:"offset"`
}

func (s *Store) opUpload(ctx context.Context, q ask.Query, p uploadParams) (result, error) {
	if len(q.Data) > maxPiece {
		return nil, ask.TooLarge("a piece of %d bytes; at most %d are allowed", len(q.Data), maxPiece)
	}
	received, err := s.stage.upload(ctx, p.SHA256, p.Size, p.Offset, q.Data)
	return result{"received": received}, err
}

type editParams struct {
	named
	Edits []Edit `json:"edits"`
	Force bool   `json:"force"`
}

func (s *Store) opEdit(ctx context.Context, q ask.Query, p editParams) (result, error) {
	id, err := s.id(ctx, p.named)
	if err != nil {
		return nil, err
	}
	number, err := s.edit(ctx, id, p.Edits, p.Force, q.From.Container)
	return result{"version": number}, err
}

func (s *Store) opCommit(ctx context.Context, q ask.Query, p named) (result, error) {
	id, err := s.id(ctx, p)
	if err != nil {
		return nil, err
	}
	number, err := s.Commit(ctx, q.From.Container, id)
	return result{"version": number}, err
}

func (s *Store) opReload(ctx context.Context, q ask.Query, p named) (result, error) {
	id, err := s.id(ctx, p)
	if err != nil {
		return nil, err
	}
	number, err := s.Reload(ctx, q.From.Container, id)
	return result{"version": number}, err
}

// name is a volume's name, "" if it is ephemeral.
func (s *Store) name(ctx context.Context, id string) (string, error) {
	list, err := s.strings(ctx, `SELECT coalesce(name, '') FROM volumes WHERE id = ?`, id)
	return strings.Join(list, ""), err
}
