using System.Runtime.InteropServices;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Training.States;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Training.Pretraining;

/// <summary>
/// Saves and restores a trainer: a folder <c>step-{n}</c> with <c>state.safetensors</c> (float32 weights and router biases, both moments) and <c>state.json</c> (the position).
/// The folder is written under another name and renamed, so it is whole or absent; the two newest are kept.
/// </summary>
public static class TrainingState
{
    private const int FormatVersion = 1;
    private static readonly JsonSerializerOptions s_json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true };

    /// <summary>Saves.</summary>
    /// <param name="trainer">The trainer, between two steps.</param>
    /// <param name="folder">The folder that holds the states, created when absent.</param>
    /// <returns>The new state's folder.</returns>
    public static string Save(Pretrainer trainer, string folder) => StateFolders.Write(folder, trainer.Steps, partial =>
    {
        var declarations = new List<TensorDeclaration>();
        var state = trainer.Model.state_dict();
        declarations.AddRange(state.Select(t => new TensorDeclaration(t.Key, TensorType.Float32, t.Value.shape)));
        trainer.Optimizer.VisitMoments((name, shape, _) => declarations.Add(new TensorDeclaration(name, TensorType.Float32, shape)));
        using (var writer = SafetensorsWriter.Create(Path.Combine(partial, "state.safetensors"), declarations))
        {
            foreach (var (name, value) in state)
            {
                writer.Write(name, MemoryMarshal.Cast<byte, float>(value.bytes));
            }

            trainer.Optimizer.VisitMoments((name, _, values) => writer.Write(name, values.Span));
            writer.Complete();
        }

        File.WriteAllText(Path.Combine(partial, "state.json"), JsonSerializer.Serialize(trainer.Position with { FormatVersion = FormatVersion }, s_json));
    });

    /// <summary>The newest state of a folder.</summary>
    /// <param name="folder">The folder that holds the states.</param>
    /// <returns>The state's folder, or null when there is none.</returns>
    public static string? Newest(string folder) => StateFolders.Newest(folder);

    /// <summary>Restores weights, moments and position.</summary>
    /// <param name="trainer">A trainer with the same model, documents, row length and seed.</param>
    /// <param name="state">A state's folder.</param>
    /// <exception cref="CheckpointException">The state is malformed, or of another model, seed or row length.</exception>
    public static void Restore(Pretrainer trainer, string state)
    {
        string positionFile = Path.Combine(state, "state.json");
        TrainingPosition position;
        try
        {
            position = JsonSerializer.Deserialize<TrainingPosition>(File.ReadAllText(positionFile), s_json)
                ?? throw new CheckpointException(positionFile, "holds null, expected the position of a training run");
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            throw new CheckpointException(positionFile, $"cannot be read: {e.Message}", e);
        }

        var current = trainer.Position;
        if (position.FormatVersion != FormatVersion || position.Seed != current.Seed || position.Columns != current.Columns)
        {
            throw new CheckpointException(positionFile,
                $"format {position.FormatVersion}, seed {position.Seed}, {position.Columns} tokens per row; expected format {FormatVersion}, seed {current.Seed}, {current.Columns} tokens: resume with the settings the run began with");
        }

        using var file = SafetensorsFile.Open(Path.Combine(state, "state.safetensors"));
        foreach (var (name, value) in trainer.Model.state_dict())
        {
            var entry = file.Entry(name);
            if (!entry.Shape.SequenceEqual(value.shape))
            {
                throw new CheckpointException(file.Path, name, $"has shape [{string.Join(", ", entry.Shape)}], the model's is [{string.Join(", ", value.shape)}]: resume with the config the run began with");
            }

            file.ReadFloat32(name, 0, MemoryMarshal.Cast<byte, float>(value.bytes));
        }

        trainer.Optimizer.Restore(position.OptimizerSteps, (name, values) => file.ReadFloat32(name, 0, values));
        trainer.Restore(position);
    }
}
