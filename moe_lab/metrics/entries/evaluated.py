"""Entries of the registry: what an evaluation measures on the images of a split."""

from __future__ import annotations

from functools import partial

from moe_lab.metrics.description import Metric, SplitName

EVALUATED: tuple[SplitName, ...] = ("val", "test", "")
BITS = "bits"

classified = partial(Metric, splits=EVALUATED, statistics="classification.ClassificationStatistics")
routed = partial(
    Metric, splits=EVALUATED, by_layer=True, group="router", statistics="routing.RoutingStatistics"
)
divided = partial(routed, group="specialisation")
by_domain = partial(divided, statistics="domains.DomainStatistics")
in_tokens = partial(routed, statistics="tokens.TokenStatistics")
of_passes = partial(
    Metric, splits=EVALUATED, group="passes", unit="%", form=".1f",
    statistics="passes.PassStatistics",
)  # fmt: skip

# fmt: off
EVALUATION = (
    classified(
        name="accuracy", label="accuracy", short="acc", unit="%", better="higher", form=".2f",
        meaning="share of images classified correctly",
        formula="mean over images [argmax_c p(c) = y]", splits=("train", *EVALUATED),
        panel="Accuracy", kept="max", shown=("epoch", "summary", "curves"),
    ),
    classified(
        name="loss", label="loss", unit="nats", better="lower", form=".4f",
        meaning="mean negative log-likelihood of the true class, without auxiliary terms",
        formula="mean over images -log p(y)",
        panel="Loss", kept="min", shown=("epoch", "summary", "curves"),
    ),
    classified(
        name="precision", label="precision", unit="%", better="higher", form=".2f",
        meaning="of the images given a class, those that are of it; mean over the classes",
        formula="mean over c TP_c / (TP_c + FP_c)",
    ),
    classified(
        name="recall", label="recall", unit="%", better="higher", form=".2f",
        meaning="of the images of a class, those that are given it; mean over the classes",
        formula="mean over c TP_c / (TP_c + FN_c)",
    ),
    classified(
        name="f1", label="F1 score", unit="%", better="higher", form=".2f",
        meaning="harmonic mean of precision and recall of a class; mean over the classes",
        formula="mean over c 2 TP_c / (2 TP_c + FP_c + FN_c)",
    ),
    classified(
        name="calibration_error", label="calibration error", unit="%", better="lower", form=".1f",
        meaning="gap between confidence and accuracy, over 15 bins of confidence",
        formula="ECE = sum over bins n_b / n |accuracy_b - confidence_b|",
        source="Guo et al. 2017, equation 3", panel="Calibration error",
    ),
    classified(
        name="top_5_accuracy", label="top-5 accuracy", unit="%", better="higher", form=".2f",
        meaning="share of images whose class is among the five likeliest; with six or more classes",
        formula="mean over images [y in top 5 of p]",
    ),
    routed(
        name="load_cv", label="load variation", short="load CV", better="lower",
        meaning="spread of the experts' loads over their mean; 0 where all are equal",
        formula="std_e(load_e) / mean_e(load_e), load_e = mean_b w_be / sum_i w_bi",
        source="Shazeer et al. 2017, section 4",
        panel="Load variation", kept="max", shown=("epoch", "summary", "layer", "curves"),
    ),
    routed(
        name="max_load_share", label="largest load share", short="max load", unit="%",
        better="lower", form=".1f",
        meaning="load of the busiest expert: its share of all weight, each image counting once",
        formula="max_e load_e",
        panel="Largest load share", kept="max", shown=("summary", "layer", "curves"),
    ),
    routed(
        name="max_load_ratio", label="largest load over fair share", better="lower",
        meaning="load of the busiest expert over a fair one, 1 / E; from 1 to E",
        formula="E max_e load_e", source="Shazeer et al. 2017, table 6",
    ),
    routed(
        name="dead_experts", label="dead experts", short="dead", unit="experts", better="lower",
        form=".0f",
        meaning="experts with less than 1 % of a fair load, 1 / E",
        formula="#{e: load_e < 0.01 / E}",
        panel="Dead experts", kept="max", shown=("summary", "layer"),
    ),
    routed(
        name="experts_per_image", label="experts per image", unit="experts", form=".2f",
        meaning="experts computed for an image, on average", formula="mean_b #{e: w_be != 0}",
        panel="Experts per image",
    ),
    routed(
        name="routing_entropy", label="routing entropy H_s", short="H_s", unit=BITS,
        meaning="mean entropy of an image's weights; 0: one expert each",
        formula="H_s = mean_b H(w_b)", panel="Entropies", shown=("summary", "layer", "curves"),
    ),
    routed(
        name="usage_entropy", label="usage entropy H_u", short="H_u", unit=BITS,
        meaning="entropy of the summed weights; at most log2 of the number of experts",
        formula="H_u = H(mean_b w_b)", panel="Entropies", shown=("summary", "layer", "curves"),
    ),
    routed(
        name="class_entropy", label="class entropy", unit=BITS,
        meaning="over how many experts a class is spread; mean over the classes",
        formula="mean over c H(mean_{b: y_b = c} w_b)",
    ),
    routed(
        name="router_confidence", label="router confidence", unit="%", form=".1f",
        meaning="mean largest routing probability", formula="mean_b max_e p_be",
        panel="Router confidence",
    ),
    routed(
        name="router_margin", label="router margin", unit="%", form=".1f",
        meaning="mean lead of the largest routing probability over the second",
        formula="mean_b (p_b(1) - p_b(2))",
    ),
    in_tokens(
        name="token_cv", label="token load variation", better="lower",
        meaning="as load_cv, in tokens instead of images",
        formula="std_e(tokens_e) / mean_e(tokens_e)", source="Shazeer et al. 2017, section 4",
    ),
    in_tokens(
        name="dropped_share", label="dropped", unit="%", better="lower", form=".1f",
        meaning="of all (token, expert) pairs, those for which the expert had no room",
        formula="dropped / (computed + dropped)", source="Fedus et al. 2022, section 2.2",
        panel="Dropped tokens", shown=("layer",),
    ),
    divided(
        name="mutual_information", label="information I(E;Y)", short="I(E;Y)", unit=BITS,
        better="higher",
        meaning="what the first expert tells about the true class, less what it would by chance",
        formula="H(E) + H(Y) - H(E, Y) - null", source="Vinh, Epps and Bailey 2010",
        panel="Information I(E;Y)", kept="max", shown=("summary", "layer", "curves"),
    ),
    divided(
        name="mutual_information_null", label="information by chance", short="by chance", unit=BITS,
        meaning="what a random router of the same load would show",
        formula="mean of H(E) + H(Y) - H(E, Y) over tables with the same margins",
        source="Patefield 1981", panel="Information I(E;Y)", shown=("layer",),
    ),
    divided(
        name="mutual_information_p_value", label="p-value of the information", better="lower",
        meaning="share of random routers that show as much; above 0.05 is no specialisation",
        formula="(1 + #{null >= seen}) / (1 + draws)", source="Patefield 1981", shown=("summary",),
    ),
    divided(
        name="specialisation", label="specialisation score", better="higher",
        meaning="adjusted mutual information; 0: chance, 1: expert and class determine each other",
        formula="(I - null) / ((H(E) + H(Y)) / 2 - null)", source="Vinh, Epps and Bailey 2010",
        panel="Specialisation score",
    ),
    divided(
        name="guidance_diagonal", label="first expert is the class", unit="%", better="higher",
        form=".1f",
        meaning="images whose first expert has the number of their class; needs E = C",
        formula="trace(first) / sum(first)",
    ),
    by_domain(
        name="domain_information", label="information I(E;D)", short="I(E;D)", unit=BITS,
        better="higher",
        meaning="what the first expert tells about the true domain, less what it would by chance",
        formula="H(E) + H(D) - H(E, D) - null", source="Vinh, Epps and Bailey 2010",
        panel="Information I(E;D)", kept="max", shown=("summary", "layer", "curves"),
    ),
    by_domain(
        name="domain_information_null", label="information on the domain by chance", unit=BITS,
        meaning="what a random router of the same load would show of the domain",
        formula="mean of H(E) + H(D) - H(E, D) over tables with the same margins",
        source="Patefield 1981", panel="Information I(E;D)",
    ),
    by_domain(
        name="domain_information_p_value", label="p-value of the information on the domain",
        better="lower",
        meaning="share of random routers that show as much of the domain",
        formula="(1 + #{null >= seen}) / (1 + draws)", source="Patefield 1981",
    ),
    by_domain(
        name="domain_adjusted_information", label="specialisation score by domain", better="higher",
        meaning="adjusted mutual information; 0: chance, 1: expert and domain determine each other",
        formula="(I - null) / ((H(E) + H(D)) / 2 - null)", source="Vinh, Epps and Bailey 2010",
        panel="Specialisation score",
    ),
    routed(
        name="share_{expert}", label="load share of expert {expert}", unit="%", form=".1f",
        group="experts", meaning="load of expert {expert}: its share of all weight",
        formula="load_e", panel="Load share by expert", splits=("val",),
    ),
    of_passes(
        name="pass_{pass}_accuracy", label="accuracy after pass {pass}", better="higher",
        form=".2f", meaning="share of images classified correctly after pass {pass}",
        formula="mean over images [argmax_c p_t(c) = y]",
        panel="Accuracy by pass", shown=("curves",),
    ),
    of_passes(
        name="pass_{pass}_confidence", label="confidence after pass {pass}",
        meaning="mean largest probability after pass {pass}",
        formula="mean over images max_c p_t(c)",
    ),
    of_passes(
        name="pass_{pass}_agreement", label="agreement of pass {pass}",
        meaning="share of images classified in pass {pass} as in the pass before",
        formula="mean over images [prediction_t = prediction_(t - 1)]",
    ),
    of_passes(
        name="pass_{pass}_repaired", label="repaired by pass {pass}", better="higher",
        meaning="share of images that pass {pass} put right",
        formula="mean over images [wrong in t - 1, right in t]", panel="Repaired by pass",
    ),
    of_passes(
        name="pass_{pass}_broken", label="broken by pass {pass}", better="lower",
        meaning="share of images that pass {pass} put wrong",
        formula="mean over images [right in t - 1, wrong in t]", panel="Broken by pass",
    ),
    of_passes(
        name="pass_{pass}_modulation_norm", label="modulation norm of pass {pass}", unit="",
        form=".4g", meaning="root mean square of what pass {pass} added, mean over images",
        formula="mean over images rms(modulation_t)", panel="Modulation norm by pass",
    ),
    of_passes(
        name="pass_agreement", label="agreement with the pass before",
        meaning="share of images whose prediction a pass leaves as it was, mean over the passes",
        formula="mean over t > 1 of the agreement of pass t",
        panel="Agreement with the pass before",
    ),
    of_passes(
        name="mean_steps", label="steps taken", unit="passes", form=".2f", better="lower",
        meaning="passes computed for an image, on average; with halting, steps plus remainder",
        formula="mean over images of its steps", source="Graves 2016, section 2",
        panel="Steps taken", statistics="passes.StepStatistics",
    ),
)
# fmt: on
