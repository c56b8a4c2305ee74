"""Opening any saved Keras model as a base: by format, recognised, checked for harm, compared with what was saved.

In the order in which a model comes through: `open` (by the kinds of files in `formats`, looked through by `safety`,
made one of Keras 3 by `conversion`), `opened` (what is known of it then), `preprocessing` (found inside, or known from
`architectures`), `cut` (what becomes the base), `backbone` (from pixels to features). The step that writes the artifact
is `components.load_base_model`; what a network is made of, whoever made it, is in `networks`.
"""
