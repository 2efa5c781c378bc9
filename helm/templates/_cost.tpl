{{- /*
  autoresearch.cost   one line on the trainings, hours and dollars that the campaign takes until its first limit

The arithmetic is that of controller/costs/forecast.py, which the controller prints when it starts. A test compares
the two.
*/ -}}
{{- define "autoresearch.cost" -}}
{{- $campaign := include "autoresearch.campaign" . | fromYaml -}}
{{- $executor := $campaign.executor -}}
{{- $budget := $campaign.budget -}}
{{- $device := include "autoresearch.device" $executor.kubernetes -}}
{{- $defaults := get (.Files.Get "defaults.json" | fromJson) $device -}}
{{- $sealed := eq (($campaign.task).score | default "exam") "exam" -}}
{{- $runHours := divf (addf $budget.train_seconds (ternary $defaults.exam_seconds 0 $sealed)) 3600 -}}
{{- $baseline := ($campaign.judge).baseline_runs | default 3 -}}
{{- $size := max 1 (int $executor.kubernetes.gpus) -}}
{{- $price := mulf ($budget.gpu_dollars_per_hour | default 0) $size -}}
{{- $pools := $budget.gpu_dollars_by_pool -}}
{{- $slotHours := list -}}
{{- $guess := -1.0 -}}
{{- with $budget.experiments -}}
{{- $guess = mulf (addf $baseline (mulf $defaults.runs_per_experiment .)) $runHours -}}
{{- $slotHours = append $slotHours $guess -}}
{{- end -}}
{{- with $budget.hours -}}{{- $slotHours = append $slotHours (mulf . $executor.slots) -}}{{- end -}}
{{- with $budget.gpu_hours -}}{{- $slotHours = append $slotHours (divf . $size) -}}{{- end -}}
{{- if and $budget.dollars (gt (float64 $price) 0.0) (not $pools) -}}
{{- $slotHours = append $slotHours (divf $budget.dollars $price) -}}
{{- end -}}
{{- $what := printf "%s-h" (upper $device) -}}
{{- if $slotHours -}}
{{- $most := first $slotHours -}}
{{- range $slotHours -}}{{- $most = minf $most . -}}{{- end -}}
{{- $about := ternary "about" "at most" (eq (float64 $most) (float64 $guess)) -}}
about {{ divf $most $runHours | printf "%.0f" }} trainings, {{ $about }} {{ divf $most $executor.slots | printf "%.1f" }} h and {{ mulf $most $size | printf "%.1f" }} {{ $what }}
{{- if $pools }} at the prices of campaign.budget.gpu_dollars_by_pool
{{- else if gt (float64 $price) 0.0 }} for ${{ mulf $most $price | printf "%.2f" }}
{{- else if eq $device "gpu" }} (campaign.budget.gpu_dollars_per_hour gives them a price)
{{- end -}}
{{- else -}}
until ${{ $budget.dollars }} are spent{{ if not $pools }}, and GPUs have no price (campaign.budget.gpu_dollars_per_hour){{ end }}
{{- end -}}
{{- if and (eq $campaign.agent.kind "claude") $budget.dollars }}; the model's calls are part of the ${{ $budget.dollars }}{{ end -}}
{{- end -}}
