namespace LongCat.ML.Onnx;

/// <summary>The tensors of one mixture of experts; an expert's matrices have its index in each list.</summary>
/// <param name="Router">The router's matrix.</param>
/// <param name="CorrectionBias">The bias of the selection, or null.</param>
/// <param name="Gate">Gate projections, [intermediate, hidden] each.</param>
/// <param name="Up">Up projections, like the gate's.</param>
/// <param name="Down">Down projections, [hidden, intermediate] each.</param>
internal sealed record MixtureTensors(string Router, string? CorrectionBias, ExpertStack Gate, ExpertStack Up, ExpertStack Down);

/// <summary>One projection of all experts, stored as one tensor.</summary>
/// <param name="Name">Its name in the graph.</param>
/// <param name="Parts">The experts' matrices in the checkpoint.</param>
internal sealed record ExpertStack(string Name, IReadOnlyList<string> Parts);
