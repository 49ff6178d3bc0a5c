using LongCat.ML.Engines;

namespace LongCat.ML;

/// <summary>Settings of the process. A pipeline brought back by plain <c>mlContext.Model.Load</c> has nothing else to look at.</summary>
/// <remarks>Thread-safe.</remarks>
public static class LongCatOptions
{
    /// <summary>The environment variable that names folders with models, separated as in PATH.</summary>
    public const string ModelsVariable = "LONGCAT_MODELS";

    private static volatile IReadOnlyList<string> modelSearchPath = [];
    private static volatile int maxLoadedModels = 2;

    /// <summary>
    /// Folders where the models of saved pipelines are looked for first: each is a model's folder or holds such folders.
    /// After these come the environment variable LONGCAT_MODELS, the path stored with the pipeline, the folder of the pipeline's
    /// file (only through <see cref="LongCatCatalog.Load(string)"/>) and the application's folder. A model is known by its content hash, never by its name.
    /// </summary>
    public static IReadOnlyList<string> ModelSearchPath
    {
        get => modelSearchPath;
        set => modelSearchPath = [.. value ?? throw new ArgumentNullException(nameof(value))];
    }

    /// <summary>How many models stay loaded, 0 or more; above it, those that nobody uses are closed, the least recently used first. Models in use are never closed.</summary>
    public static int MaxLoadedModels
    {
        get => maxLoadedModels;
        set
        {
            Throw.IfOutside(value, 0, int.MaxValue, nameof(MaxLoadedModels));
            maxLoadedModels = value;
            EngineCache.Shared.Trim();
        }
    }
}
