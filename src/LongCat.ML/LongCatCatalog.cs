using LongCat.ML.Engines;
using LongCat.ML.Models;
using LongCat.ML.Saving;
using Microsoft.ML;

namespace LongCat.ML;

/// <summary>Steps that run language models, as <c>mlContext.LongCat()</c> returns them.</summary>
/// <remarks>Thread-safe; holds nothing but the context. All models of the process are in one cache, shared by all contexts.</remarks>
public sealed partial class LongCatCatalog
{
    private readonly MLContext context;

    internal LongCatCatalog(MLContext context) => this.context = context;

    /// <summary>Estimators that train a language model; packages add to it (<c>LongCat.ML.Training</c>: <c>Lora</c>).</summary>
    public LongCatTrainers Trainers => new(context);

    /// <summary>Loads a pipeline that <c>mlContext.Model.Save</c> wrote and gives its LongCat steps their batching back.</summary>
    /// <param name="path">The pipeline's file. Its folder is one of the places where models are looked for.</param>
    /// <returns>The pipeline.</returns>
    public ITransformer Load(string path) => Load(path, out _);

    /// <summary>Loads a pipeline that <c>mlContext.Model.Save</c> wrote and gives its LongCat steps their batching back.</summary>
    /// <param name="path">The pipeline's file. Its folder is one of the places where models are looked for.</param>
    /// <param name="inputSchema">The schema that the pipeline was saved with, or null.</param>
    /// <returns>The pipeline.</returns>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="FormatException">The configuration of a step is damaged or of a later version.</exception>
    public ITransformer Load(string path, out DataViewSchema inputSchema)
    {
        Throw.IfBlank(path, nameof(path));
        context.ComponentCatalog.RegisterAssembly(typeof(LongCatCatalog).Assembly);
        ITransformer loaded = context.Model.Load(path, out inputSchema);
        return ChainReader.Batched(context, loaded, Path.GetDirectoryName(Path.GetFullPath(path)));
    }

    /// <summary>Gives the LongCat steps of a pipeline that plain <c>mlContext.Model.Load</c> brought back their batching.</summary>
    /// <param name="transformer">Any transformer; one without LongCat steps comes back as it is.</param>
    /// <returns>The same pipeline; the steps' scopes in a chain are kept.</returns>
    /// <exception cref="FormatException">The configuration of a step is damaged or of a later version.</exception>
    public ITransformer Batched(ITransformer transformer)
    {
        ArgumentNullException.ThrowIfNull(transformer);
        return ChainReader.Batched(context, transformer, pipelineFolder: null);
    }

    /// <summary>Closes every loaded model: at once where nobody uses it, otherwise when the last cursor that does is disposed. Whoever needs one later opens it again.</summary>
    /// <returns>How many models were loaded.</returns>
    public int Release() => EngineCache.Shared.Release(_ => true);

    /// <summary>Closes one model, see <see cref="Release()"/>.</summary>
    /// <param name="modelFolder">The model's folder.</param>
    /// <returns>How many engines ran it (one for each <see cref="EngineSettings"/> in use).</returns>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder.</exception>
    public int Release(string modelFolder)
    {
        Throw.IfBlank(modelFolder, nameof(modelFolder));
        string hash = ModelReference.HashOf(ModelKind.Engine, Path.GetFullPath(modelFolder));
        return EngineCache.Shared.Release(key => key.StartsWith(hash, StringComparison.Ordinal));
    }
}
