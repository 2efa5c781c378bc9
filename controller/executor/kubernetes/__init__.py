"""Attempts in a cluster: every try is one isolated Job, and three watches tell how it goes.

executor      the Executor protocol; starts and stops all threads
worker        takes the next step of one try: launch, observe, record
running_try   the state of one try: its next step, and what the watches showed last
tries         all tries that run, and the lock for changing them
workqueue     hands the names of tries to the worker threads
launching     creates the Job of a try exactly once, or adopts it
recorded_job  marks the Job of a recorded try: labels, annotation, Event, TTL
orphans       puts away Jobs that an earlier controller left behind
leftovers     deletes Jobs that are no tries, those of dead controllers included
lease         lets only one controller per campaign write
prepare       runs the task's prepare.py as a Job
workshop      runs programs that propose edits, each as a Job of its own
smoke         runs smoke tests of edits, each as a Job of its own
door          the one port that pods of proposals reach: their folders, their results, their gateways
rights        tells before anything is launched what a cluster lacks: an answer, a version, rights

client        sends requests to the API server
connection    opens the way into the cluster; no other module uses the Kubernetes client library
errors        the two ways in which a request fails
watch         keeps a cache of one kind of object by a list and a watch
caches        the three caches of a campaign: Jobs, pods, warning events
logs          reads and follows logs

naming        names, labels and annotations; pure
job           builds the manifests of Job and ConfigMap; pure
pod           builds the pod: phases as containers, and the walls between them; pure
pod_witness   has the training's supervisor measure what the node did, and reads what it tells; pure

short_job     builds a Job that is no try, around its pod; pure
smoke_job     builds the Job and the ConfigMap of a smoke test; pure
smoke_state   the state of a smoke test in the cluster, and how it ended; pure but for what it remembers
quantities    reads amounts such as 500m or 32Gi; pure
proposal_job  builds the Job in which a program proposes; pure
job_state     what the watches showed of a Job that is no try; pure but for what it remembers
session_state  the state of such a program in the cluster, and how it ended; pure but for what it remembers
request_head  reads whose a connection to the door is
delivery      reads what came back of a program's folder; pure

pod_status    answers plain questions about Pod, Job and Event objects; pure
observation   the types for what was observed of a try, its progress and its end; pure
outcome       observation -> progress or end, by a fixed order of tests; pure
containers    finds the container that failed a try; pure
waiting       tells why a try has not started; pure
result        the end of a try and its logs -> the attempt's result; pure
"""

from controller.executor.kubernetes.executor import KubernetesExecutor
from controller.executor.kubernetes.workshop import ClusterWorkshop

__all__ = ["ClusterWorkshop", "KubernetesExecutor"]
