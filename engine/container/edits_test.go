package container

import (
	"reflect"
	"testing"

	cdi "tags.cncf.io/container-device-interface/specs-go"
)

func TestPlain(t *testing.T) {
	s := Spec{
		Env: []string{"A=1", "B=2"}, Mounts: []Mount{{Source: "/x", Target: "/y"}},
		Edits: &cdi.ContainerEdits{Env: []string{"B=3", "C=4"}, Mounts: []*cdi.Mount{{HostPath: "/p", ContainerPath: "/q", Options: []string{"bind", "ro"}}}},
	}
	got, err := s.Plain()
	if err != nil || got.Edits != nil || !reflect.DeepEqual(got.Env, []string{"A=1", "B=3", "C=4"}) ||
		!reflect.DeepEqual(got.Mounts, []Mount{{Source: "/x", Target: "/y"}, {Source: "/p", Target: "/q", ReadOnly: true}}) {
		t.Errorf("%+v, %v", got, err)
	}
	if len(s.Env) != 2 || s.Env[1] != "B=2" || len(s.Mounts) != 1 {
		t.Errorf("the Spec was changed: %+v", s)
	}
	s.Edits.DeviceNodes = []*cdi.DeviceNode{{Path: "/dev/nvidia0"}}
	if _, err := s.Plain(); err == nil {
		t.Error("a device has no field")
	}
	if got, err := (Spec{Env: []string{"A=1"}}).Plain(); err != nil || len(got.Env) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
