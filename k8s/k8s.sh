#!/usr/bin/env bash
# Tunesmith in the cluster that kubectl points to: what the make targets k8s-* call.
#
#   k8s/k8s.sh quick-deploy | port-forward | dashboard | status | logs PART | scale PART N | cleanup
#   k8s/k8s.sh train FILE | train --resume ID      one experiment on NODES nodes, OVERLAY=nodes deployed
#
# OVERLAY says which of k8s/manifests/overlays is deployed: dev (the default), prod, gpu or nodes. Exit
# code 2 means that this machine lacks something, which the message names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

NAMESPACE=tunesmith
OVERLAY=${OVERLAY:-dev}
PARTS="api worker worker-gpu ui postgres redis prometheus grafana"

lacks() {
  echo "$1" >&2
  exit 2
}

need_cluster() {
  command -v kubectl >/dev/null ||
    lacks "kubectl isn't installed: https://kubernetes.io/docs/tasks/tools/. Without a cluster, make start or make start-services runs the same services on this machine."
  kubectl version --request-timeout=10s >/dev/null 2>&1 ||
    lacks "kubectl reaches no cluster: choose one (kubectl config use-context NAME), or start one on this machine (kind create cluster, or minikube start)."
}

# What a part is to kubectl, such as deployment/api.
resource() {
  case " $PARTS " in *" $1 "*) ;; *) lacks "There is no part called $1; there are: $PARTS." ;; esac
  case $1 in
    postgres | redis) echo "statefulset/$1" ;;
    *) echo "deployment/$1" ;;
  esac
}

# The secret, made once and never written over, from the same names as docker-compose.yml has.
make_secret() {
  kubectl -n $NAMESPACE get secret tunesmith >/dev/null 2>&1 && return
  local made
  made=$(python3 -c '
import sys
sys.path.insert(0, "scripts")
from services import MADE
s = {name: make() for name, make in MADE.items()}
s["TUNESMITH_DATABASE_URL"] = "postgresql://tunesmith:%s@postgres:5432/tunesmith" % s["POSTGRES_PASSWORD"]
s["REDIS_URL"] = "redis://:%s@redis:6379/0" % s["REDIS_PASSWORD"]
print("\n".join("%s=%s" % pair for pair in s.items()))
')
  # Through standard input: arguments of a process are seen by everybody on the machine.
  kubectl -n $NAMESPACE create secret generic tunesmith --from-env-file=/dev/stdin <<<"$made"
}

# Images that were built on this machine, into a cluster that runs on it; OVERLAY=dev only.
build_images() {
  local image context
  command -v docker >/dev/null && docker info >/dev/null 2>&1 || {
    echo "No Docker engine answers here: the images must be in the cluster, or where it pulls from." >&2
    return
  }
  for image in api worker ui; do
    docker build --target "$image" --tag "tunesmith-$image:latest" .
  done
  context=$(kubectl config current-context)
  for image in api worker ui; do
    case $context in
      kind-*) kind load docker-image "tunesmith-$image:latest" --name "${context#kind-}" ;;
      minikube) minikube image load "tunesmith-$image:latest" ;;
    esac
  done
}

quick_deploy() {
  [ -d "k8s/manifests/overlays/$OVERLAY" ] ||
    lacks "There is no overlay called $OVERLAY; there are: $(ls k8s/manifests/overlays | xargs)."
  need_cluster
  [ "$OVERLAY" != dev ] || build_images
  kubectl apply -f k8s/manifests/base/namespace.yaml
  make_secret
  kubectl -n $NAMESPACE delete job migrations --ignore-not-found
  kubectl apply -k "k8s/manifests/overlays/$OVERLAY"
  kubectl -n $NAMESPACE wait --for=condition=complete job/migrations --timeout=10m
  for part in api ui worker; do
    kubectl -n $NAMESPACE rollout status "deployment/$part" --timeout=10m
  done
  echo "make k8s-port-forward opens API and web page here. The admin's token:"
  echo "  kubectl -n $NAMESPACE get secret tunesmith -o go-template='{{.data.TUNESMITH_ADMIN_TOKEN | base64decode}}'"
}

port_forward() {
  need_cluster
  local api=${API_PORT:-8000} ui=${UI_PORT:-8501}
  trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
  kubectl -n $NAMESPACE port-forward service/api "$api:8000" &
  kubectl -n $NAMESPACE port-forward service/ui "$ui:8501" &
  echo "API http://127.0.0.1:$api/docs, web page http://127.0.0.1:$ui, until Ctrl-C"
  wait -n
}

dashboard() {
  need_cluster
  if [ "$(kubectl config current-context)" = minikube ] && command -v minikube >/dev/null; then
    exec minikube dashboard
  fi
  if kubectl -n kubernetes-dashboard get service kubernetes-dashboard-kong-proxy >/dev/null 2>&1; then
    echo "The dashboard of Kubernetes: https://127.0.0.1:8443, until Ctrl-C"
    exec kubectl -n kubernetes-dashboard port-forward service/kubernetes-dashboard-kong-proxy 8443:443
  fi
  if kubectl -n $NAMESPACE get service grafana >/dev/null 2>&1; then
    echo "No dashboard of Kubernetes is installed; Grafana: http://127.0.0.1:${GRAFANA_PORT:-3000}, until Ctrl-C"
    exec kubectl -n $NAMESPACE port-forward service/grafana "${GRAFANA_PORT:-3000}:3000"
  fi
  lacks "No dashboard is installed: https://github.com/kubernetes/dashboard, or OVERLAY=dev for Grafana."
}

status() {
  need_cluster
  kubectl -n $NAMESPACE get deployments,statefulsets,jobs,pods,persistentvolumeclaims -o wide
  kubectl -n $NAMESPACE get scaledobjects 2>/dev/null || true
}

logs() {
  local selector=app.kubernetes.io/component=$1 follow=false
  resource "$1" >/dev/null
  need_cluster
  case $1 in
    worker) selector+=,tunesmith/device=cpu ;;
    worker-gpu) selector=tunesmith/device=gpu ;;
  esac
  [ "${FOLLOW:-0}" = 0 ] || follow=true
  kubectl -n $NAMESPACE logs -l "$selector" --prefix --tail "${LINES:-100}" --max-log-requests 50 --follow=$follow
}

scale() {
  case ${2:-} in '' | *[!0-9]*) lacks "How many? make k8s-scale service=worker replicas=3" ;; esac
  local what
  what=$(resource "$1")
  need_cluster
  if kubectl -n $NAMESPACE get scaledobject "$1" >/dev/null 2>&1; then
    # KEDA would undo it.
    kubectl -n $NAMESPACE annotate scaledobject "$1" --overwrite "autoscaling.keda.sh/paused-replicas=$2"
    echo "KEDA keeps $1 at $2; let it decide again: kubectl -n $NAMESPACE annotate scaledobject $1 autoscaling.keda.sh/paused-replicas-"
  else
    kubectl -n $NAMESPACE scale "$what" --replicas "$2"
  fi
}

# A TrainJob of Kubeflow Trainer: NODES nodes with PROCESSES processes each, and as many GPUs. It
# carries the configuration with it; data and base model must be where every node finds them.
train() {
  case ${1:-} in
    --resume) [ -n "${2:-}" ] || lacks "Which one? k8s/k8s.sh train --resume ID" ;;
    '') lacks "What? k8s/k8s.sh train FILE, or k8s/k8s.sh train --resume ID" ;;
    *) [ -f "$1" ] || lacks "There is no file $1." ;;
  esac
  need_cluster
  kubectl -n $NAMESPACE get trainingruntime tunesmith >/dev/null 2>&1 ||
    lacks "This cluster has no training runtime of Tunesmith's: install Kubeflow Trainer, then OVERLAY=nodes make k8s-quick-deploy."
  local name
  name=train-$(date +%Y%m%d-%H%M%S)
  python3 -c '
import json, sys
name, namespace, nodes, processes, gpus, what, *rest = sys.argv[1:]
trainer = {"numNodes": int(nodes), "numProcPerNode": int(processes)}
if what == "--resume":
    trainer["args"] = ["train", what, *rest]
else:
    size = f"training.processes={int(nodes) * int(processes)}"
    trainer["args"] = ["train", "--config", "/tmp/experiment.yaml", size]
    trainer["env"] = [{"name": "EXPERIMENT", "value": open(what, encoding="utf-8").read()}]
if int(gpus):
    limits = {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": gpus}
    trainer["resourcesPerNode"] = {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": limits}
runtime = {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": "tunesmith"}
print(json.dumps({
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "TrainJob",
    "metadata": {"name": name, "namespace": namespace},
    "spec": {"runtimeRef": runtime, "trainer": trainer},
}))
' "$name" $NAMESPACE "${NODES:-2}" "${PROCESSES:-1}" "${GPUS:-0}" "$@" | kubectl create -f -
  echo "Its output, each node's by its name: kubectl -n $NAMESPACE logs -f -l jobset.sigs.k8s.io/jobset-name=$name --prefix"
  echo "End it with a checkpoint: kubectl -n $NAMESPACE delete trainjob $name"
}

cleanup() {
  need_cluster
  if [ "${DATA:-keep}" = delete ]; then
    kubectl delete namespace $NAMESPACE --ignore-not-found
    return
  fi
  kubectl -n $NAMESPACE delete scaledobjects,triggerauthentications --all 2>/dev/null || true
  kubectl -n $NAMESPACE delete trainjobs,trainingruntimes --all 2>/dev/null || true
  kubectl -n $NAMESPACE delete deployments,statefulsets,jobs,services,networkpolicies,poddisruptionbudgets,configmaps --all
  echo "Volumes and the secret stay, so that a new deployment finds everything; DATA=delete deletes them, too."
}

case ${1:-} in
  quick-deploy) quick_deploy ;;
  port-forward) port_forward ;;
  dashboard) dashboard ;;
  status) status ;;
  logs) logs "${2:-api}" ;;
  scale) scale "${2:-worker}" "${3:-}" ;;
  train) train "${@:2}" ;;
  cleanup) cleanup ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
